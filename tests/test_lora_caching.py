"""The LoRA ablation recomputes what an edit touches: a family, new adapters, new runs."""

import shutil
from operator import itemgetter

import pytest

from tests.project import Project

pytestmark = pytest.mark.spread

FEATURES = "scripts/lora_ablation/representations"
# A job for each of three representations, and one for each of six other arms.
TRAINING = {"lora_ablation_train": 9}
TABLES = {"lora_ablation_tables": 1, "draw": 1}
SPINE = {"aggregate": 1, "agree": 1, "ledger": 1, "peers": 1, "report": 1}
MEASURED = {"measure": 1}
AFTER_TRAINING = SPINE | TABLES | {"lora_ablation_costs": 1}
# Some runs, so that a test need not train them all.
CELL = "results/lora_ablation/runs/resident/simple_stats-0.parquet"
WHOLE = "results/lora_ablation/runs/resident/ensemble-0.parquet"
EARLY_RUNS = [0, 1]  # of the early cell, whatever the runs of the others


def files(project: Project, folder: str) -> dict[str, tuple[int, bytes]]:
    """Time stamp and bytes of every file below a folder of the study, by its path there."""
    base = project.results / folder
    found = sorted(path for path in base.rglob("*") if path.is_file())
    return {str(p.relative_to(base)): (p.stat().st_mtime_ns, p.read_bytes()) for p in found}


def filled(row: dict) -> dict:
    """The row without columns that are empty."""
    return {name: value for name, value in row.items() if value is not None}


def cell_rows(project: Project, cell: str) -> list[dict]:
    return project.rows(cell.removeprefix("results/lora_ablation/"))


def test_the_second_run_of_the_ablation_has_nothing_to_do(finished_lora):
    done = finished_lora.snakemake()
    assert "Nothing to be done" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("family", "old", "new", "trained"),
    [
        # frequency and ensemble
        ("frequency", "EPS = 1e-8", "EPS = 1e-7", 2),
        # simple_stats and ensemble; the six other arms
        ("moments", "EPS = 1e-8", "EPS = 1e-7", 8),
    ],
)
def test_an_edit_of_a_family_recomputes_it_and_the_cells_that_use_it(
    finished_lora, family, old, new, trained
):
    finished_lora.edit(f"{FEATURES}/{family}.py", old, new)
    done = finished_lora.snakemake("--dry-run", "--until", "lora_ablation_features")
    output = done.stdout + done.stderr
    assert output.count("rule lora_ablation_features:") == 2
    assert output.count(f"output: results/lora_ablation/features/{family}/") == 2
    expected = {"lora_ablation_features": 2, "lora_ablation_train": trained}
    expected["lora_ablation_prepare"] = 2  # of the arms that compute by families
    assert finished_lora.jobs() == expected | AFTER_TRAINING | MEASURED


@pytest.mark.parametrize(
    ("file", "old", "new", "jobs"),
    [
        # The fast trainers are those of all arms but the reference and the truth.
        ("models/stack.py", "COPY_LIMIT = 1_0", "COPY_LIMIT = 2_0", {"lora_ablation_train": 7}),
        (
            "models/reference.py",
            "batch_size=size",
            "batch_size=2 * size",
            {"lora_ablation_train": 2},
        ),
        ("unit.py", 'svd="lowrank"', 'svd="full"', {"lora_ablation_prepare": 1}),
        ("unit.py", 'with_format("torch")', 'with_format("numpy")', {"lora_ablation_prepare": 1}),
    ],
)
def test_an_edit_of_an_arm_reruns_the_jobs_that_call_it(finished_lora, file, old, new, jobs):
    finished_lora.edit(f"scripts/lora_ablation/{file}", old, new)
    assert finished_lora.jobs() == jobs | AFTER_TRAINING | MEASURED


def test_an_edit_of_another_reader_of_adapters_loads_nothing(finished_lora):
    edited = "scripts/lora_ablation/data/flat.py"
    finished_lora.edit(edited, "def _whole(", "UNUSED = 0\n\n\ndef _whole(")
    assert finished_lora.jobs("science") == {}
    finished_lora.edit("scripts/lora_ablation/data/generator.py", "UP_SIZE = ", "UP_SIZE = 2 * ")
    assert finished_lora.jobs("science")["lora_ablation_load"] == 2


def test_another_choice_of_jobs_leaves_results_alone(finished_lora):
    finished_lora.edit("scripts/lora_ablation/jobs.py", "draws=10_000", "draws=9_000")
    assert finished_lora.jobs() == TABLES | {"report": 1}


def test_a_comment_in_a_family_reruns_nothing(finished_lora):
    finished_lora.edit(f"{FEATURES}/frequency.py", "TOP = 10", "# As in the original.\nTOP = 10")
    (finished_lora.folder / FEATURES / "moments.py").touch()
    (finished_lora.folder / "scripts/lora_ablation/load.py").touch()
    assert finished_lora.jobs() == {}


def test_a_training_option_of_the_ablation_retrains_and_loads_nothing(finished_lora):
    config = finished_lora.overlay(train="{hidden: 16, batch: 8, max_epochs: 2}")
    # The workloads that are on say themselves how long they train.
    assert finished_lora.jobs(config=config) == TRAINING | AFTER_TRAINING


def test_more_adapters_load_and_featurise_the_new_shard_alone(finished_lora):
    old = {folder: files(finished_lora, folder) for folder in ("tensors", "index", "features")}
    config = finished_lora.overlay(sources="{generated: {adapters: 48}}")
    jobs = finished_lora.jobs(config=config)
    assert jobs["lora_ablation_load"] == jobs["lora_ablation_index"] == 1
    assert jobs["lora_ablation_features"] == 6
    assert jobs["lora_ablation_train"] == TRAINING["lora_ablation_train"]
    finished_lora.make("--until", "lora_ablation_features", config=config)
    for folder, before in old.items():
        after = files(finished_lora, folder)
        assert {name: after[name] for name in before} == before
        assert all("adapters-000032-000047" in name for name in after.keys() - before.keys())


def test_more_runs_train_the_new_ones_alone(finished_lora):
    before, units = cell_rows(finished_lora, CELL), finished_lora.trained()
    config = finished_lora.overlay(runs="3")
    jobs = finished_lora.jobs("science", config=config)
    assert jobs == {"lora_ablation_train": 3, "aggregate": 1, "agree": 1}
    finished_lora.make(CELL, config=config)
    trained = {name.split("/")[-1].split("-")[0] for name in finished_lora.trained() - units}
    assert trained == {
        f"train_simple_stats_{cell}_2" for cell in ("all_100", "visual_100", "all_50")
    }
    after = cell_rows(finished_lora, CELL)
    assert [row for row in after if row["run"] < 2] == before
    assert [row["run"] for row in after] == [*EARLY_RUNS, *[0, 1, 2] * 3]


def test_cells_cut_into_other_jobs_train_nothing_again(finished_lora):
    before, units = cell_rows(finished_lora, CELL), finished_lora.trained()
    files = [CELL.replace("-0", f"-{number}") for number in (0, 1)]
    finished_lora.make(*files, config=finished_lora.overlay(block="2"))
    assert finished_lora.trained() == units
    rows = [row for file in files for row in cell_rows(finished_lora, file)]
    key = itemgetter("stage", "layers", "share", "run")
    # A file has the columns that one of its rows has.
    parts = [sorted(map(filled, part), key=key) for part in (rows, before)]
    assert parts[0] == parts[1]


def test_shards_and_cores_change_no_bit_of_a_run(finished_lora):
    before, units = cell_rows(finished_lora, WHOLE), finished_lora.trained()
    shutil.rmtree(finished_lora.results / "features")
    finished_lora.forget_units()
    finished_lora.make(WHOLE, config=finished_lora.overlay(shard="20"), cores=1)
    shards = {path.stem for path in (finished_lora.results / "features").rglob("*.parquet")}
    assert shards == {"adapters-000000-000019", "adapters-000020-000031"}
    assert cell_rows(finished_lora, WHOLE) == before
    # A unit's folder is a digest of what it was trained on, too.
    assert len(finished_lora.trained()) == 4
    assert finished_lora.trained() <= units


def test_tensors_that_are_not_kept_are_deleted_and_not_missed(fresh_lora):
    config = fresh_lora.overlay(keep_tensors="false")
    fresh_lora.make(CELL, config=config)
    assert not list(fresh_lora.results.rglob("*.npy"))
    assert len(list((fresh_lora.results / "tensors").glob("*.json"))) == 2
    done = fresh_lora.snakemake(CELL, config=config)
    assert "Nothing to be done" in done.stdout + done.stderr


def test_the_weights_themselves_are_a_representation(finished_lora):
    weights = CELL.replace("simple_stats", "flat_vec")
    train = "{hidden: 16, batch: 8, max_epochs: 1}"
    representations = "[simple_stats, flat_vec]"
    config = finished_lora.overlay(representations=representations, train=train)
    finished_lora.make(weights, config=config)
    row, *_ = cell_rows(finished_lora, weights)
    assert (row["status"], row["n_features"]) == ("ok", 99_648)
