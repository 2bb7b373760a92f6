"""What is timed is the work of the arm, on students that change from round to round."""

import pytest

from scripts.deep_gpcm import measured
from scripts.deep_gpcm.jobs import AXES, data_files, measured_job, rounds
from tests.gpcm_networks import arm, configuration, fold, fold_file, trained_unit

CONFIG = configuration()
WORKLOADS = CONFIG["measure"]["workloads"]


@pytest.fixture
def files(tmp_path) -> list[str]:
    """Inputs of two folds of x, named as the workflow names them."""
    data, folds = tmp_path / "deep_gpcm/data/x", tmp_path / "deep_gpcm/folds/x"
    for folder in (data, folds):
        folder.mkdir(parents=True)
    for number in range(2):
        path, _ = fold_file(fold(seed=number), data)
        path.rename(folds / f"{number}.parquet")
    return [
        str(path) for path in (data / "items.parquet", folds / "0.parquet", folds / "1.parquet")
    ]


def measure(files: list[str], name: str, work: str, units: list, steps: int = 0) -> list[dict]:
    job = arm(name) | {"work": work, "steps": steps, "units": units}
    return measured.run(job, {"data": files}, threads=1)


@pytest.mark.parametrize("name", ["reference", "fused"])
@pytest.mark.parametrize("work", ["step", "loading", "inference", "folds"])
def test_every_work_is_a_row_a_unit_that_counts_what_it_did(files, work, name):
    units = [["x", 0, 1], ["x", 1, 2]]
    rows = measure(files, name, work, units, steps=2)
    answers = {
        part: [len(fold(seed=number).parts[part].question) for number in (0, 1)]
        for part in ("train", "test")
    }
    for number, row in enumerate(rows):
        assert (row["status"], row["threads"], row["device"]) == ("ok", 1, "cpu")
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
    losses, fit = [], measured.fit
    monkeypatch.setattr(
        measured, "fit", lambda *x: [found := fit(*x), losses.append(found.losses)][0]
    )
    (row,) = measure(files, "fused", "folds", [["x", 0, 3]])
    assert losses == [trained_unit(arm("fused"), fold(), ["x", 0]).losses["loss"]]
    parts = [row[f"{name}_s"] for name in ("prepare", "data", "forward", "backward", "optimizer")]
    assert sum([*parts, row["validate_s"]]) == pytest.approx(row["fit_s"])


def test_rounds_name_the_fold_and_a_number_and_start_with_a_warm_up():
    steps = rounds(CONFIG, WORKLOADS["step_t49"])
    assert steps == [[["A", number % 5, number]] for number in range(6)]
    whole = rounds(CONFIG, WORKLOADS["folds"] | {"repeats": 2})
    assert whole == [[["A", fold, n] for fold in range(5)] for n in (1, 30, 30)]
    assert rounds(CONFIG, WORKLOADS["folds"] | {"repeats": 0}) == []
    assert all(len(unit) == len(AXES) + 1 for units in whole for unit in units)


def test_a_measured_job_is_the_arm_s_and_says_what_to_do():
    found = measured_job(CONFIG, 42, "padded", WORKLOADS["step_t49"])
    assert {name: found[name] for name in ("arm", "work", "steps", "memory")} == {
        "arm": "padded", "work": "step", "steps": WORKLOADS["step_t49"]["steps"], "memory": "fused",
    }  # fmt: skip
    assert found["train"] == CONFIG["train"] | {"padding": "masked"}
    assert measured_job(CONFIG, 42, "fused", WORKLOADS["loading"])["steps"] == 0


def test_input_files_are_items_and_all_folds_of_each_data_set():
    found = data_files(CONFIG | {"folds": 2}, ["A", "B"])
    assert found == [
        f"<results>/deep_gpcm/{end}.parquet"
        for name in ("A", "B")
        for end in (f"data/{name}/items", f"folds/{name}/0", f"folds/{name}/1")
    ]
