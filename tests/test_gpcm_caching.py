"""What runs again in the Deep-GPCM study, what does not, and what a kill or one key changes."""

import json
from textwrap import indent

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.gpcm_files import read
from tests.project import Project

pytestmark = pytest.mark.spread

# Both folds a job: fused on both data sets; reference, function, no_erase on `small`; adamw.
# Two data sets by the result, others on one each.
TRAINED = 2 + 4 + 1
BY_KERNEL = 2 + 1 + 1  # fused, no_erase and adamw
CLASSICAL = 2  # gpcm
SPINE = {"aggregate": 1, "agree": 1, "ledger": 1, "peers": 1, "report": 1}
MEASURED = {"measure": 1}
TABLES = {"deep_gpcm_tables": 1, "deep_gpcm_ladder": 1, "draw": 1}
AFTER = SPINE | TABLES
RECURRENCE = "scripts/deep_gpcm/models/memory/recurrence.py"
SCIENCE = {"aggregate": 1, "agree": 1}


def with_more(project: Project, lines: str) -> str:
    """The tiny configuration, and keys of the study (YAML lines) over it."""
    (project.folder / "more.yaml").write_text(f"deep_gpcm:\n{indent(lines, '  ')}\n")
    return f"{project.tiny} more.yaml"


def test_the_second_run_of_the_study_has_nothing_to_do(finished_gpcm):
    done = finished_gpcm.snakemake()
    assert "Nothing to be done" in done.stdout + done.stderr


def test_an_edit_of_the_kernel_compiles_it_and_trains_the_arms_that_read_by_it(finished_gpcm):
    finished_gpcm.edit(RECURRENCE, "weight * change", "change * weight")
    jobs = {"compile": 1, "deep_gpcm_train": BY_KERNEL} | AFTER | MEASURED
    assert finished_gpcm.jobs() == jobs


def test_an_edit_of_the_classical_model_fits_it_alone(finished_gpcm):
    finished_gpcm.edit(
        "scripts/deep_gpcm/models/irt/marginal.py", "BETA_SD = 0.5, 2.0", "BETA_SD = 0.5, 3.0"
    )
    jobs = finished_gpcm.jobs("science")
    assert jobs == {"deep_gpcm_baseline": CLASSICAL} | SCIENCE


@pytest.mark.parametrize(
    ("file", "old", "new", "trained"),
    [
        ("models/reference.py", "1 - erased", "1 - 1 * erased", 2),
        ("models/memory/scan.py", "torch.neg(weighted,", "torch.neg(1 * weighted,", 1),
        ("models/choices.py", "0 * e, a, m0", "0 * e, 1 * a, m0", 1),
        ("models/lookup.py", "softplus(both[:, 1]", "softplus(1 * both[:, 1]", 5),
        ("models/fit.py", "loss / rows", "loss / (1 * rows)", TRAINED),
        ("data/three_lines.py", "DECIMALS = 1e-3", "DECIMALS = 2e-3", 0),
        ("outcome/curves.py", "ITEMS = 6", "ITEMS = 5", 0),
    ],
)
def test_an_edit_trains_again_the_arms_that_run_what_was_edited(
    finished_gpcm, file, old, new, trained
):
    finished_gpcm.edit(f"scripts/deep_gpcm/{file}", old, new)
    jobs = finished_gpcm.jobs("science")
    assert jobs == ({"deep_gpcm_train": trained} | SCIENCE if trained else {})


def test_comments_and_time_stamps_rerun_nothing(finished_gpcm):
    finished_gpcm.edit(RECURRENCE, "@entry", "# By Numba.\n@entry")
    (finished_gpcm.folder / "scripts/deep_gpcm/train.py").touch()
    assert finished_gpcm.jobs() == {}


def test_another_data_set_loads_and_trains_itself_alone(finished_gpcm):
    source = "sources: {B: {students: 18, questions: 6, lengths: [2, 7]}}"
    config = with_more(finished_gpcm, f"data: [A, B]\n{source}")
    assert (
        finished_gpcm.jobs("science", config=config)
        == {
            "deep_gpcm_load": 1,
            "deep_gpcm_folds": 1,
            "deep_gpcm_train": 1,
            "deep_gpcm_baseline": 2,
        }
        | SCIENCE
    )


def test_a_training_option_spares_data_and_baselines(finished_gpcm):
    config = finished_gpcm.overlay(train="{batch: 4, epochs: 1}")
    own_epochs = 3  # truth, function and no_erase say how long they train
    trained = {"deep_gpcm_train": TRAINED - own_epochs}
    assert finished_gpcm.jobs("science", config=config) == trained | SCIENCE


def test_an_option_of_one_arm_trains_that_arm_alone(finished_gpcm):
    config = with_more(finished_gpcm, "arms: {adamw: {train: {weight_decay: 0.1}}}")
    assert finished_gpcm.jobs("science", config=config) == {"deep_gpcm_train": 1} | SCIENCE


def test_a_fold_is_the_same_bits_alone_and_beside_others(finished_gpcm):
    together = finished_gpcm.rows("runs/fused/A-0.parquet")
    assert [row["fold"] for row in together] == [0, 1]
    files = ["runs/fused/A-0.parquet", "runs/fused/A-1.parquet"]
    targets = [f"results/deep_gpcm/{file}" for file in files]
    finished_gpcm.make(*targets, config=finished_gpcm.overlay(block="1"), cores=1)
    assert [row for file in files for row in finished_gpcm.rows(file)] == together
    assert [len(finished_gpcm.rows(file)) for file in files] == [1, 1]


def test_an_arm_has_blocks_of_its_own(finished_gpcm):
    config = with_more(finished_gpcm, "arms: {reference: {run: {block: 1}}}")
    assert finished_gpcm.jobs("science", config=config)["deep_gpcm_train"] == 2


def test_the_fold_and_answers_on_disk_are_those_of_the_generator(finished_gpcm):
    source = {
        "kind": "generated",
        "students": 20,
        "questions": 5,
        "categories": 4,
        "lengths": [2, 7],
    }
    answers = read(source, 42)
    table = pq.read_table(finished_gpcm.results / "data/A/interactions.parquet")
    assert np.array_equal(table["response"].to_numpy(), answers.response)
    tested = [
        pq.read_table(
            finished_gpcm.results / f"folds/A/{fold}.parquet", filters=[("split", "=", "test")]
        )
        for fold in (0, 1)
    ]
    students = [set(part["student_id"].to_pylist()) for part in tested]
    assert students[0] | students[1] == set(range(20))
    assert not students[0] & students[1]


def test_a_log_of_ones_own_runs_through_by_one_key(fresh_gpcm):
    rows = ["student,time,item,response"]
    rng = np.random.default_rng(1)
    for student in range(12):
        rows += [f"s{student},{t},q{rng.integers(4)},{rng.integers(3)}" for t in range(5)]
    (fresh_gpcm.folder / "mine.csv").write_text("\n".join(rows) + "\n")
    config = with_more(fresh_gpcm, "data: [mine]\nsources: {mine: {kind: table, path: mine.csv}}")
    fresh_gpcm.make(
        "results/deep_gpcm/runs/fused/mine-0.parquet",
        "results/deep_gpcm/runs/gpcm/mine.parquet",
        config=config,
    )
    rows = fresh_gpcm.rows("runs/fused/mine-0.parquet")
    assert [row["status"] for row in rows] == ["ok", "ok"]
    assert [row["n_test"] for row in rows] == [30, 30]
    assert len(fresh_gpcm.rows("runs/gpcm/mine.parquet")) == 2
    assert json.loads((fresh_gpcm.results / "numba/compiled.json").read_text())["compile_s"] > 0


def test_a_broken_line_of_ones_own_log_ends_in_one_sentence_and_no_file(fresh_gpcm):
    (fresh_gpcm.folder / "mine.csv").write_text("student,time,item,response\na,1,q,0\na,1,q,1\n")
    config = with_more(fresh_gpcm, "data: [mine]\nsources: {mine: {kind: table, path: mine.csv}}")
    done = fresh_gpcm.snakemake("results/deep_gpcm/data/mine/items.parquet", config=config)
    output = done.stdout + done.stderr
    assert done.returncode != 0
    assert "mine.csv: line 3 has a second answer of student a at time 1" in output
    assert "Traceback" not in output
    assert not (fresh_gpcm.results / "data/mine").exists() or not list(
        (fresh_gpcm.results / "data/mine").iterdir()
    )


def test_a_killed_job_trains_the_missing_folds_alone_and_gives_the_same_rows(fresh_gpcm):
    table = "results/deep_gpcm/runs/fused/A-0.parquet"
    config = fresh_gpcm.overlay(
        folds="8", block="8", train="{batch: 1, epochs: 20}", validation="0.25"
    )
    run = fresh_gpcm.start(table, config=config)
    fresh_gpcm.wait_for_units(3)
    for process in fresh_gpcm.training_processes(run):
        process.kill()
    assert run.wait(60) != 0
    units = fresh_gpcm.results / "units"
    kept = {path: (units / path).stat().st_mtime_ns for path in fresh_gpcm.trained()}
    assert 3 <= len(kept) < 8
    assert not (fresh_gpcm.folder / table).exists()

    fresh_gpcm.snakemake("--unlock", config=config)
    fresh_gpcm.make(table, config=config)
    interrupted = fresh_gpcm.rows("runs/fused/A-0.parquet")
    assert len(fresh_gpcm.trained()) == 8
    for path, before in kept.items():
        assert (units / path).stat().st_mtime_ns == before

    fresh_gpcm.forget_units()
    fresh_gpcm.make(table, "--force", config=config)
    assert fresh_gpcm.rows("runs/fused/A-0.parquet") == interrupted


def test_a_finished_fold_is_reused_in_other_blocks_but_not_on_other_data(finished_gpcm):
    def trained_again(*words: str, **options) -> int:
        before = finished_gpcm.trained()
        finished_gpcm.make("results/deep_gpcm/runs/fused/A-0.parquet", *words, **options)
        return len(finished_gpcm.trained() - before)

    assert trained_again(config=finished_gpcm.overlay(block="1")) == 0
    assert trained_again(config=finished_gpcm.overlay(validation="0.4")) == 2
