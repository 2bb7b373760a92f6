"""What runs again in the search of learning rules, what does not, and what one key changes."""

import json
import os
import re
import signal
import time

import optuna
import pandas as pd
import pytest
from optuna.importance import get_param_importances
from optuna.storages import JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

from scripts.tep_bp.outcome.distribution import importances
from scripts.tep_bp.plans.ranking import ranked
from tests.project import Project, copy_code, job_counts
from tests.tep_searches import STACKED, Search, configuration, with_more

ARM = configuration().result
SPINE = {"aggregate": 1, "agree": 1, "ledger": 1, "peers": 1, "report": 1}
MEASURED = {"measure": 1}
AFTER = SPINE | {"tep_bp_tables": 1, "draw": 1}
RULES = ("tep", "bp")


def trained(project: Project) -> int:
    """Run files of all arms: each is a training job."""
    return len(list((project.results / "runs").glob("*/*.parquet")))


def planned(project: Project, lines: str) -> tuple[dict, set[str]]:
    """Jobs by rule that the changed configuration asks for, and the plans and run files."""
    done = project.snakemake("--dry-run", config=with_more(project, lines))
    assert done.returncode == 0, done.stderr + done.stdout
    output = done.stdout + done.stderr
    files = re.findall(r"output: results/tep_bp/(?:plans|runs)/(\S+)\.parquet", output)
    return job_counts(output), set(files)


def own(*blocks: str) -> set[str]:
    """Files of blocks by the result arm, for both rules."""
    return {f"{ARM}/{rule}-{block}" for rule in RULES for block in blocks}


def test_the_second_run_of_the_search_has_nothing_to_do(finished_tep):
    done = finished_tep.snakemake()
    assert "Nothing to be done" in done.stdout + done.stderr


def test_comments_and_time_stamps_rerun_nothing(finished_tep):
    finished_tep.edit(
        "scripts/tep_bp/models/stacked/gradients.py",
        "sign[:n] = -1",
        "# Towards it.\n    sign[:n] = -1",
    )
    later = time.time() + 60
    for path in (finished_tep.folder / "scripts").rglob("*.py"):
        os.utime(path, (later, later))
    assert finished_tep.jobs() == {}


def test_more_trials_run_their_block_alone_and_choose_again_whom_to_repeat(finished_tep):
    jobs, files = planned(finished_tep, "search: {trials: 6}")
    assert jobs == {"tep_bp_propose": 3, "tep_bp_train": 6} | AFTER
    plans = {"search-002", *(f"{rule}-repeat" for rule in RULES)}
    assert files == plans | own("002", "repeat-000", "repeat-1-000")


def test_more_repeats_search_nothing(finished_tep):
    jobs, files = planned(finished_tep, "repeats: {top: 2}")
    assert jobs == {"tep_bp_propose": 2, "tep_bp_train": 8} | AFTER
    blocks = [f"{stage}-00{block}" for stage in ("repeat", "repeat-1") for block in (0, 1)]
    assert files == {"tep-repeat", "bp-repeat"} | own(*blocks)


def test_one_more_rounding_trains_itself_alone(finished_tep):
    jobs, files = planned(finished_tep, "repeats: {rerounded: 2}")
    assert jobs == {"tep_bp_train": 2} | AFTER
    assert files == own("repeat-2-000")


def test_halving_trains_rungs_and_repeats_and_spares_the_other_arms(finished_tep):
    jobs, files = planned(finished_tep, "search: {mode: halving}")
    assert jobs == {"tep_bp_propose": 4, "tep_bp_train": 10} | AFTER
    plans = {f"{rule}-{stage}" for rule in RULES for stage in ("rung1", "repeat")}
    blocks = ["rung0-000", "rung0-001", "rung1-000", "repeat-000", "repeat-1-000"]
    assert files == plans | own(*blocks)


def test_an_edit_of_the_start_trains_everything_and_samples_and_loads_nothing(finished_tep):
    finished_tep.edit(
        "scripts/tep_bp/models/interface.py", "SPECTRAL_NORM = 0.5", "SPECTRAL_NORM = 0.4"
    )
    trainings = {"tep_bp_train": trained(finished_tep), "tep_bp_propose": len(RULES)}
    # The gate and the picture of the gradient train networks of their own.
    others = {"compile": 1, "tep_bp_gate": 1, "tep_bp_gradient": 1}
    assert finished_tep.jobs() == trainings | others | AFTER | MEASURED


# Those that wait for the gate.
GATED_JOBS = {f"{ARM}/tep-{name}" for name in ("000", "001", "repeat-000", "repeat-1-000")}


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        (
            *("models/reference/learning_rules.py", "(2 * span)", "(span * 2)"),
            {f"{arm}/{rule}-000" for arm in ("reference", "truth") for rule in RULES},
        ),
        ("models/legacy/two_phases.py", "// 10", "// 11", {"legacy/tep-000"}),
        ("models/wrong.py", "= 0\n", "= 0.0\n", {"dropped_nudge/tep-000"}),
        ("models/stacked/gradients.py", "mul_(0.5)", "mul_(0.25)", set()),
        ("gate.py", "SAMPLES = 256", "SAMPLES = 255", GATED_JOBS),
        ("unit.py", "Trainer(groups, lambda", "Trainer((groups), lambda", set()),
    ],
    ids=["module of arms", "of another", "of a control", "of an arm that is off", "gate", "layout"],
)
def test_an_edit_of_one_implementation_trains_its_arms_alone(
    finished_tep, file, old, new, expected
):
    finished_tep.edit(f"scripts/tep_bp/{file}", old, new)
    _, files = planned(finished_tep, "{}")
    assert {name for name in files if "/" in name} == expected


def test_other_words_of_the_configuration_s_models_rerun_nothing(finished_tep):
    finished_tep.edit("scripts/lib/sections.py", '"Heading."', '"Its heading."')
    finished_tep.edit("scripts/tep_bp/settings.py", '"Trials per job, and', '"Trials of a job, and')
    assert "tep_bp_train" not in finished_tep.jobs("science")


def test_an_edit_of_another_reader_of_tasks_loads_nothing(finished_tep):
    finished_tep.edit("scripts/tep_bp/data/mnist.py", "BYTES = 0x08", "BYTES = 8 + 0")
    assert finished_tep.jobs("science") == {}
    finished_tep.edit("scripts/tep_bp/data/sources.py", "% 2, name)", "% 2 + 0, name)")
    assert finished_tep.jobs("science")["tep_bp_load"] == 1


def test_an_option_of_a_legacy_arm_trains_that_arm_alone(finished_tep):
    jobs, files = planned(finished_tep, "arms: {legacy: {faults: {damping: 0.5}}}")
    assert jobs == {"tep_bp_train": 1} | AFTER
    assert files == {"legacy/tep-000"}


def test_another_task_keeps_the_sampled_plans_alone(finished_tep):
    jobs, files = planned(finished_tep, "task: xor\ntasks: {xor: {samples: 40}}")
    trainings = {"tep_bp_train": trained(finished_tep), "tep_bp_propose": len(RULES)}
    once = {"tep_bp_load": 1, "tep_bp_gate": 1, "tep_bp_gradient": 1, "tep_bp_classifiers": 1}
    assert jobs == trainings | once | AFTER | MEASURED
    assert not any(name.startswith("search-") for name in files)


def test_a_margin_of_the_gate_judges_again_and_trains_who_waits_for_it(finished_tep):
    jobs, files = planned(finished_tep, "gate: {margin: 0.01}")
    assert jobs == {"tep_bp_gate": 1, "tep_bp_train": 4, "tep_bp_propose": 1} | AFTER | MEASURED
    assert files == {"tep-repeat"} | GATED_JOBS


# The search alone, in rounds, of as many trials as importances need.
OFF = {arm: {"run": {"trials": 0}} for arm in configuration().arms if arm != ARM}
ROUNDS = {"mode": "rounds", "trials": 24, "block": 12}
ALONE = {"search": ROUNDS, "arms": OFF | {ARM: STACKED}, "repeats": {"top": 0}}
TARGETS = [f"results/tep_bp/{name}" for name in ("runs.parquet", "optuna.db", "optuna.log")]


def yaml_of(sections: dict) -> str:
    return "\n".join(f"{key}: {json.dumps(value)}" for key, value in sections.items())


@pytest.fixture(scope="module")
def in_rounds(tmp_path_factory) -> Project:
    """A project after a search in rounds, and its exports."""
    project = Project(copy_code(tmp_path_factory.mktemp("rounds") / "project"), "tep_bp")
    project.make(*TARGETS, config=with_more(project, yaml_of(ALONE)))
    return project


def rows_of(project: Project, rule: str) -> pd.DataFrame:
    table = pd.read_parquet(project.results / "runs.parquet")
    return table[table["rule"] == rule].sort_values("trial", ignore_index=True)


@pytest.mark.parametrize("rule", RULES)
def test_rounds_are_the_same_in_another_folder_and_in_one_process(in_rounds, rule):
    found = rows_of(in_rounds, rule)
    expected = Search(configuration(search=ROUNDS)).rows(rule)
    exact = expected.columns.drop(["diverged_epoch", "curve", "early_losses"])
    pd.testing.assert_frame_equal(found[exact], expected[exact], check_dtype=False)
    for lists in ("curve", "early_losses"):
        assert [list(one) for one in found[lists]] == expected[lists].tolist()


def test_a_further_round_asks_and_trains_itself_alone(in_rounds):
    longer = with_more(in_rounds, yaml_of(ALONE | {"search": ROUNDS | {"trials": 36}}))
    assert in_rounds.jobs(TARGETS[0], config=longer) == {
        "tep_bp_propose": 2,
        "tep_bp_train": 2,
        "aggregate": 1,
    }


@pytest.mark.slow
def test_a_kill_leaves_whole_files_and_one_core_ends_where_two_do(in_rounds, fresh_tep):
    config = with_more(fresh_tep, yaml_of(ALONE))
    run, files = fresh_tep.start(TARGETS[0], config=config), {}
    deadline = time.monotonic() + 60
    while not files:
        assert time.monotonic() < deadline, "nothing was trained within a minute"
        time.sleep(0.02)
        files = {path: path.read_bytes() for path in fresh_tep.results.glob("runs/*/*.parquet")}
    os.killpg(run.pid, signal.SIGKILL)
    run.wait(60)
    assert not (fresh_tep.results / "runs.parquet").exists()
    for path in fresh_tep.results.glob("runs/*/*.parquet"):
        assert len(fresh_tep.rows(path.relative_to(fresh_tep.results))) == ROUNDS["block"]
    fresh_tep.snakemake("--unlock", config=config)
    assert 0 < fresh_tep.jobs(TARGETS[0], config=config)["tep_bp_train"] <= 4
    fresh_tep.make(TARGETS[0], cores=1, config=config)
    assert fresh_tep.rows() == in_rounds.rows()


@pytest.mark.parametrize("ending", ["db", "log"])
def test_the_exported_storage_opens_with_the_same_choice_and_importances(in_rounds, ending):
    path = in_rounds.results / f"optuna.{ending}"
    storage = RDBStorage(f"sqlite:///{path}") if ending == "db" else None
    storage = storage or JournalStorage(JournalFileBackend(str(path)))
    space = configuration().space
    for rule in RULES:
        study, table = optuna.load_study(study_name=rule, storage=storage), rows_of(in_rounds, rule)
        best = ranked(table).iloc[0]
        assert [trial.number for trial in study.trials] == list(range(24))
        assert study.user_attrs["chosen"] == best["trial"]
        assert study.trials[best["trial"]].value == study.best_value == best["val_accuracy"]
        assert study.trials[7].params["lr"] == table["lr"][7]
        ours = importances(table, space, rule)
        assert ours
        assert get_param_importances(study) == ours
    if ending == "db":
        storage.remove_session()
        storage.engine.dispose()
