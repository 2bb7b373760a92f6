"""A killed training job goes on where it was: no finished trial is trained again."""

import dataclasses
from pathlib import Path

import pytest

from scripts.lib.job import JOB
from scripts.tep_bp import unit
from scripts.tep_bp.data.sources import read
from scripts.tep_bp.data.store import Task
from scripts.tep_bp.jobs import jobs
from scripts.tep_bp.plans.sampling import trials
from scripts.tep_bp.train import result
from tests.tep_nets import changed
from tests.tep_searches import SEED, configuration, with_more

pytestmark = pytest.mark.spread

ARMS = ("reference", "fused", "stacked", "legacy")
FEW = {"run": {"rules": ["tep"], "trials": 4, "block": 4, "widest": None}}
# Trials 0 and 3 are narrow, 1 and 2 wide; `max_stack_elements` lets two narrow ones into a stack.
CONFIG = configuration(
    search={"trials": 4, "block": 4},
    space={"hidden": [8, 16], "batch": [16]},
    train={"epochs": 1},
    max_stack_elements=256,
    arms=dict.fromkeys(ARMS, FEW),
)
JOBS = jobs(CONFIG, SEED)
PLAN = trials(CONFIG.space, "sobol", 4, SEED).to_dict("records")
STACKS = {
    "reference": [[0], [1], [2], [3]],
    "fused": [[0], [1], [2], [3]],
    "stacked": [[0, 3], [1], [2]],
    "legacy": [[0, 3], [1, 2]],
}


class Killed(Exception):
    """Ends a job where a kill would."""


class Trainings(list):
    """The trials of every stack that was trained; one more than `most` is a kill."""

    most = 100

    def counted(self, trainer: unit.Trainer) -> unit.Trainer:
        def fit(data, stack):
            if len(self) == self.most:
                raise Killed
            self.append([trial.trial for trial in stack])
            return trainer.fit(data, stack)

        return trainer._replace(fit=fit)


@pytest.fixture
def trainings(monkeypatch) -> Trainings:
    seen, real = Trainings(), unit.trainer
    monkeypatch.setattr(unit, "trainer", lambda job: seen.counted(real(job)))
    return seen


@pytest.fixture
def units(monkeypatch, tmp_path) -> Path:
    """Where the job that runs keeps its finished trials."""
    monkeypatch.setattr(JOB, "results", str(tmp_path))
    return tmp_path / "tep_bp/units"


def task(seed: int = 0) -> Task:
    return read(CONFIG.tasks[CONFIG.task], seed)


def trained(arm: str, found: Task | None = None, **changes) -> list[dict]:
    """Rows of the arm's job."""
    return result(changed(JOBS[arm, "tep-000"], **changes), PLAN, found or task(), [])


def without_clocks(rows: list[dict]) -> list[dict]:
    return [{k: v for k, v in row.items() if not k.endswith("_s")} for row in rows]


@pytest.mark.parametrize("arm", ARMS)
def test_a_killed_job_trains_only_the_stacks_that_it_had_not_finished(arm, trainings, units):
    trainings.most = 1
    with pytest.raises(Killed):
        trained(arm)
    kept = {path: path.read_bytes() for path in units.rglob("*.json")}
    assert len(kept) == len(STACKS[arm][0])
    trainings.most = 100
    resumed = trained(arm)
    assert trainings == STACKS[arm]
    assert {path: path.read_bytes() for path in kept} == kept
    assert [row["trial"] for row in resumed] == [0, 1, 2, 3]
    # Times too are those of the training, not of the reading.
    assert trained(arm) == resumed
    assert trainings == STACKS[arm]
    JOB.results = ""  # no job runs, so nothing is kept
    assert without_clocks(trained(arm)) == without_clocks(resumed)
    assert trainings == STACKS[arm] * 2


def test_a_kill_between_the_trials_of_a_stack_trains_the_rest_of_it(trainings, units):
    whole = trained("stacked")
    (last,) = units.rglob("search_tep_3-*.json")
    last.unlink()
    assert without_clocks(trained("stacked")) == without_clocks(whole)
    assert trainings == [*STACKS["stacked"], [3]]


def test_a_damaged_trial_is_trained_again(trainings, units, caplog):
    trained("stacked")
    (first,) = units.rglob("search_tep_1-*.json")
    first.write_bytes(first.read_bytes()[:-9])
    trained("stacked")
    assert trainings == [*STACKS["stacked"], [1]]
    assert "is damaged" in caplog.text


def test_other_blocks_and_other_stacks_train_nothing_again(trainings, units):
    whole = trained("stacked")
    rows = JOBS["stacked", "tep-000"].rows
    others = [changed(rows, start=1, count=2), changed(rows, widest=8)]
    for changes in (*({"rows": other} for other in others), {"max_stack_elements": 10**6}):
        found = {row["trial"]: row for row in trained("stacked", **changes)}
        assert found
        assert all(row == whole[number] for number, row in found.items())
    assert trainings == STACKS["stacked"]


def test_whatever_decides_a_row_trains_it_again(trainings, units):
    trained("stacked")
    job, other = JOBS["stacked", "tep-000"], task()
    changes_of = {
        "training": {"train": changed(job.train, epochs=2)},
        "solver": {"solver": "economy", "solvers": {"economy": CONFIG.solvers.economy}},
        "scored part": {"held": "test"},
        "training parts": {"parts": ["train", "val"]},
        "stage": {"stage": "rung0"},
        "split": {"found": task(1)},
        "a single sample": {"found": dataclasses.replace(other, x=other.x + (other.x == 0) * 0.5)},
    }
    for count, changes in enumerate(changes_of.values(), start=2):
        trained("stacked", **changes)
        assert trainings == STACKS["stacked"] * count


def test_runs_are_the_same_after_a_kill(fresh_tep):
    arms = "{reference: {run: {rules: [tep], trials: 8, block: 8}}}"
    lines = f"search: {{trials: 8, block: 8}}\narms: {arms}\ntrain: {{epochs: 60}}"
    config = with_more(fresh_tep, lines)
    file = "results/tep_bp/runs/reference/tep-000.parquet"
    started = fresh_tep.start(file, config=config)
    fresh_tep.wait_for_units(2)
    for process in fresh_tep.training_processes(started):
        process.kill()
    assert started.wait(60) != 0
    kept = fresh_tep.trained()
    assert 2 <= len(kept) < 8
    assert not (fresh_tep.folder / file).exists()
    units = {name: (fresh_tep.results / "units" / name).read_bytes() for name in kept}

    fresh_tep.snakemake("--unlock", config=config)
    fresh_tep.make(file, config=config)
    interrupted = fresh_tep.rows("runs/reference/tep-000.parquet")
    assert {name: (fresh_tep.results / "units" / name).read_bytes() for name in kept} == units
    assert len(fresh_tep.trained()) == 8

    fresh_tep.forget_units()
    fresh_tep.make(file, "--forcerun", file, config=config)
    assert fresh_tep.rows("runs/reference/tep-000.parquet") == interrupted
