"""A killed training job goes on where it was: no finished trial is trained again."""

import dataclasses
from pathlib import Path

import pytest

from scripts.tep_bp import unit
from scripts.tep_bp.data.sources import read
from scripts.tep_bp.data.store import Task
from scripts.tep_bp.jobs import jobs
from scripts.tep_bp.plans.sampling import trials
from scripts.tep_bp.train import result
from tests.tep_searches import SEED, configuration, with_more

ARMS = ("reference", "fused", "stacked", "legacy")
FEW = {"rules": ["tep"], "trials": 4, "block": 4, "widest": None}
# Trials 0 and 3 are narrow, 1 and 2 wide; `elements` lets two narrow ones into a stack.
CONFIG = configuration(
    search={"trials": 4, "block": 4},
    space={"hidden": [8, 16], "batch": [16]},
    train={"epochs": 1},
    elements=256,
    run=dict.fromkeys(ARMS, FEW),
)
PLAN = trials(CONFIG["space"], "sobol", 4, SEED)
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
        def fit(data, stack, spec):
            if len(self) == self.most:
                raise Killed
            self.append([trial.trial for trial in stack])
            return trainer.fit(data, stack, spec)

        return trainer._replace(fit=fit)


@pytest.fixture
def trainings(monkeypatch) -> Trainings:
    seen = Trainings()
    counted = {name: seen.counted(trainer) for name, trainer in unit.TRAINERS.items()}
    monkeypatch.setattr(unit, "TRAINERS", counted)
    return seen


def task(seed: int = 0) -> Task:
    return read(CONFIG["tasks"][CONFIG["task"]], seed)


def trained(arm: str, units: Path | None, found: Task | None = None, **changes) -> list[dict]:
    """Rows of the arm's job; units is where finished trials are kept."""
    return result(jobs(CONFIG, SEED)[arm, "tep-000"] | changes, PLAN, found or task(), [], units)


def without_clocks(rows: list[dict]) -> list[dict]:
    return [{k: v for k, v in row.items() if not k.endswith("_s")} for row in rows]


@pytest.mark.parametrize("arm", ARMS)
def test_a_killed_job_trains_only_the_stacks_that_it_had_not_finished(arm, trainings, tmp_path):
    trainings.most = 1
    with pytest.raises(Killed):
        trained(arm, tmp_path)
    kept = {path: path.read_bytes() for path in tmp_path.rglob("*.json")}
    assert len(kept) == len(STACKS[arm][0])
    trainings.most = 100
    resumed = trained(arm, tmp_path)
    assert trainings == STACKS[arm]
    assert {path: path.read_bytes() for path in kept} == kept
    assert [row["trial"] for row in resumed] == [0, 1, 2, 3]
    # Times too are those of the training, not of the reading.
    assert trained(arm, tmp_path) == resumed
    assert trainings == STACKS[arm]
    assert without_clocks(trained(arm, None)) == without_clocks(resumed)
    assert trainings == STACKS[arm] * 2


def test_a_kill_between_the_trials_of_a_stack_trains_the_rest_of_it(trainings, tmp_path):
    whole = trained("stacked", tmp_path)
    (last,) = tmp_path.rglob("search_tep_3-*.json")
    last.unlink()
    assert without_clocks(trained("stacked", tmp_path)) == without_clocks(whole)
    assert trainings == [*STACKS["stacked"], [3]]


def test_a_damaged_trial_is_trained_again(trainings, tmp_path, caplog):
    trained("stacked", tmp_path)
    (first,) = tmp_path.rglob("search_tep_1-*.json")
    first.write_bytes(first.read_bytes()[:-9])
    trained("stacked", tmp_path)
    assert trainings == [*STACKS["stacked"], [1]]
    assert "is damaged" in caplog.text


def test_other_blocks_and_other_stacks_train_nothing_again(trainings, tmp_path):
    whole = trained("stacked", tmp_path)
    for changes in ({"start": 1, "count": 2}, {"elements": 10**6}, {"widest": 8}):
        found = {row["trial"]: row for row in trained("stacked", tmp_path, **changes)}
        assert found
        assert all(row == whole[number] for number, row in found.items())
    assert trainings == STACKS["stacked"]


def test_whatever_decides_a_row_trains_it_again(trainings, tmp_path):
    trained("stacked", tmp_path)
    job = jobs(CONFIG, SEED)["stacked", "tep-000"]
    other = task()
    changed = {
        "training": {"train": job["train"] | {"epochs": 2}},
        "solver": {"solver_name": "economy"},
        "scored part": {"held": "test"},
        "training parts": {"parts": ["train", "val"]},
        "stage": {"stage": "rung0"},
        "split": {"found": task(1)},
        "a single sample": {"found": dataclasses.replace(other, x=other.x + (other.x == 0) * 0.5)},
    }
    for count, changes in enumerate(changed.values(), start=2):
        trained("stacked", tmp_path, **changes)
        assert trainings == STACKS["stacked"] * count


def test_runs_are_the_same_after_a_kill(fresh_tep):
    run = "{reference: {rules: [tep], trials: 8, block: 8}}"
    lines = f"search: {{trials: 8, block: 8}}\nrun: {run}\ntrain: {{epochs: 60}}"
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
