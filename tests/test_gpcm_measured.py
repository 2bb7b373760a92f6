"""What is timed is the work of the arm, on students that change from round to round."""

from itertools import product
from pathlib import Path

import pytest

from scripts.deep_gpcm import measured
from scripts.deep_gpcm.jobs import Jobs
from scripts.deep_gpcm.specs import AXES, MeasuredJob
from scripts.lib.plan import measurement_plan
from tests.gpcm_networks import arm, configuration, fold, fold_file, trained_unit

CONFIG = configuration()
WORKLOADS, JOBS = CONFIG.measure.workloads, Jobs(CONFIG, 42)


@pytest.fixture
def files(tmp_path) -> dict[str, list[Path]]:
    """Inputs of two folds of x, by the names that the study gives them."""
    folds = []
    for number in range(2):
        path, items = fold_file(fold(seed=number), tmp_path)
        folds.append(path.rename(tmp_path / f"{number}.parquet"))
    return {"items_x": [items], "folds_x": folds}


def measure(files: dict, name: str, work: str, units: list, steps: int = 0) -> list[dict]:
    job = MeasuredJob(**vars(arm(name)) | {"units": units}, work=work, steps=steps)
    return measured.run(job.model_dump(mode="json"), files)


@pytest.mark.parametrize(
    ("name", "work"),
    [
        *product(["reference", "fused"], ["step", "loading", "inference", "folds"]),
        ("stacked", "folds"),
    ],
)
def test_every_work_is_a_row_a_unit_that_counts_what_it_did(files, work, name):
    units = [["x", 0, 2], ["x", 1, 2]]
    rows = measure(files, name, work, units, steps=2)
    answers = {
        part: [len(fold(seed=number).parts[part].question) for number in (0, 1)]
        for part in ("train", "test")
    }
    for number, row in enumerate(rows):
        assert row["status"] == "ok"
        assert row["fit_s"] > 0
        expected = {
            "loading": answers["train"][number],
            "inference": answers["test"][number],
            "folds": answers["train"][number] * units[number][2],
        }
        assert row["n_answers"] == expected.get(work, row["n_answers"])
        if work == "step":
            assert 0 < row["n_answers"] < answers["train"][number]
            assert row["n_steps"] == 2
        if work == "folds":
            assert row["n_steps"] == 4 * units[number][2]


def test_rounds_train_on_other_students_and_contestants_of_a_round_on_the_same(files):
    found = {
        (name, number): measure(files, name, "step", [["x", 0, number]], steps=1)[0]["n_answers"]
        for name in ("reference", "fused")
        for number in range(3)
    }
    counts = [found["fused", number] for number in range(3)]
    assert [found["reference", number] for number in range(3)] == counts
    assert len(set(counts)) > 1


def test_a_whole_fold_is_the_training_of_its_unit_and_the_predictions(files, monkeypatch):
    losses, predicted = [], measured.predicted

    def seen(job, fold, done):
        losses.append(done.losses)
        return predicted(job, fold, done)

    monkeypatch.setattr(measured, "predicted", seen)
    (row,) = measure(files, "fused", "folds", [["x", 0, 3]])
    assert losses == [trained_unit(arm("fused"), fold(), ["x", 0]).losses["loss"]]
    parts = [row[f"{name}_s"] for name in ("prepare", "data", "forward", "backward", "optimizer")]
    assert sum([*parts, row["validate_s"]]) == pytest.approx(row["fit_s"])


def workload(name: str, **changes):
    return WORKLOADS[name].model_copy(update=changes)


def planned(name: str, **changes) -> list[list]:
    """Units of the rounds of a workload."""
    measure = CONFIG.measure.model_copy(update={"workloads": {name: workload(name, **changes)}})
    section = CONFIG.model_copy(update={"measure": measure})
    return [
        units
        for load in measurement_plan(section, JOBS.round, JOBS.measured)
        for units in load.rounds
    ]


def test_rounds_name_the_fold_and_a_number():
    assert planned("step_t49", rounds=6) == [[["A", n % 5, n]] for n in range(1, 7)]
    whole = planned("folds", rounds=2)
    assert whole == [[["A", fold, 30] for fold in range(5)] for _ in range(2)]
    assert planned("folds", rounds=0) == []
    assert all(len(unit) == len(AXES) + 1 for units in whole for unit in units)


def test_a_measured_job_is_the_arm_s_and_says_what_to_do():
    found = JOBS.measured("padded", workload("step_t49"))
    said = (found.arm, found.work, found.steps, found.memory)
    assert said == ("padded", "step", WORKLOADS["step_t49"].steps, "fused")
    changes = {"padding": "masked", "epochs": CONFIG.arms["padded"].train.epochs}
    assert found.train == CONFIG.train.model_copy(update=changes)
    assert JOBS.measured("fused", workload("loading")).steps == 0


def test_input_files_are_items_and_all_folds_of_each_data_set():
    workloads = {name: workload("step_t49", data=name) for name in ("A", "B")}
    measure = CONFIG.measure.model_copy(update={"workloads": workloads})
    section = CONFIG.model_copy(update={"folds": 2, "measure": measure})
    folder = "<results>/deep_gpcm"
    assert Jobs(section, 42).data_files() == {
        "items_A": [f"{folder}/data/A/items.parquet"],
        "folds_A": [f"{folder}/folds/A/0.parquet", f"{folder}/folds/A/1.parquet"],
        "items_B": [f"{folder}/data/B/items.parquet"],
        "folds_B": [f"{folder}/folds/B/0.parquet", f"{folder}/folds/B/1.parquet"],
    }
