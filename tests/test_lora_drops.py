"""Accuracies and drops of the ablation: paired by test row, honest about what they are of."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from scripts.lib.faults import ContractError
from scripts.lib.seeds import numpy_rng
from scripts.lora_ablation.outcome.drops import contrasts, holm, paired_p
from scripts.lora_ablation.outcome.grid import RUN, grid_state
from scripts.lora_ablation.specs import TablesJob
from scripts.lora_ablation.tables import tables as tables_of
from tests.stages import job_of

REPRESENTATIONS = ["simple_stats", "spectral", "ensemble"]
# How often a classifier is right, by selection.
SKILL = {"all": 0.7, "visual": 0.5, "text": 0.55, "half0": 0.65, "half1": 0.6}
LABELS = ["airplane", "bird", "cat"]


def told(expected: list[list]) -> TablesJob:
    """What the stage is told."""
    return TablesJob(arm="fused", expected=expected, seed=1, confidence=0.95, draws=500)


def tables(
    runs: pd.DataFrame, predictions: pd.DataFrame, expected: list[list]
) -> dict[str, pd.DataFrame]:
    return tables_of(told(expected), runs, predictions)


def grid_of(runs: int = 3) -> list[list]:
    """Expected runs: every selection on all rows, and two smaller shares of all tensors."""
    cells = [(name, layers, 100) for name in REPRESENTATIONS for layers in SKILL]
    cells += [(name, "all", share) for name in REPRESENTATIONS for share in (25, 50)]
    return [[*cell, run] for cell in cells for run in range(runs)]


def predicted(key: list, labels: list[str], skill: float) -> pd.DataFrame:
    """Predictions of one run on test rows 7, 9, 11, ... and one validation row."""
    rng = numpy_rng(0, *key)
    right, other = rng.random(len(labels)) < skill, rng.permutation(labels)
    rows = pd.DataFrame({"row": 7 + 2 * np.arange(len(labels)), "split": "test", "label": labels})
    rows["predicted"] = np.where(right, labels, other)
    rows.loc[len(rows)] = [0, "val", labels[0], labels[0]]
    return rows.assign(**dict(zip(RUN, key, strict=True)))


def study(expected: list[list], labels: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """runs.parquet, with rows of another stage and arm in it, and all predictions."""
    parts = [predicted(key, labels, SKILL[key[1]] - (100 - key[2]) / 500) for key in expected]
    runs = [finished(part) for part in parts]
    other = {"arm": "reference", "stage": "load", "status": "ok"}
    strange = runs[0] | {"arm": "reference", "test_accuracy": 0.0}
    return pd.DataFrame([other, strange, *runs]), pd.concat(parts, ignore_index=True)


def finished(part: pd.DataFrame) -> dict:
    """The row of runs.parquet that belongs to one run's predictions."""
    test = part[part["split"] == "test"]
    accuracy = (test["label"] == test["predicted"]).mean()
    row = {name: part[name].iloc[0] for name in RUN}
    row |= {"arm": "fused", "stage": "train", "status": "ok", "test_accuracy": accuracy}
    row |= {"train_accuracy": 0.9, "val_accuracy": 0.6, "test_f1": 0.5, "n_epochs": 20}
    row |= {"n_features": 640, "n_kept": 512, "n_parameters": 1000, "fit_s": 0.1}
    return row | {"n_train": 7 * row["share"], "n_test": len(test)}


@pytest.fixture(scope="module")
def inputs():
    labels = list(np.random.default_rng(0).choice(LABELS, 80, p=[0.5, 0.3, 0.2]))
    return grid_of(), *study(grid_of(), labels)


@pytest.fixture(scope="module")
def made(inputs):
    expected, runs, predictions = inputs
    return tables(runs, predictions, expected)


def cell(table: pd.DataFrame, **where) -> pd.Series:
    """The one row with these values."""
    found = table[(table[list(where)] == pd.Series(where)).all(axis=1)]
    assert len(found) == 1
    return found.iloc[0]


def test_accuracy_is_the_mean_over_runs_and_sd_is_over_runs_only(inputs, made):
    _, runs, _ = inputs
    trained = runs[(runs["arm"] == "fused") & (runs["stage"] == "train")]
    for (name, layers, share), part in trained.groupby(RUN[:-1]):
        row = cell(made["grid"], representation=name, layers=layers, share=share)
        assert row["accuracy"] == pytest.approx(part["test_accuracy"].mean(), abs=1e-12)
        assert row["sd_runs"] == pytest.approx(part["test_accuracy"].std(ddof=1))
        assert row["wilson_low"] < row["accuracy"] < row["wilson_high"]
        assert row["boot_low"] < row["accuracy"] < row["boot_high"]
    assert (made["grid"]["chance"] == 1 / 3).all()
    assert (made["grid"]["n_test"] == 80).all()
    assert list(made["grid"][RUN[:-1]].itertuples(index=False, name=None)) == list(
        dict.fromkeys(tuple(key[:3]) for key in inputs[0])
    )


def test_a_drop_is_the_difference_of_the_two_accuracies(made):
    for row in made["drops"].itertuples():
        first, second = contrasts(list(SKILL))[row.contrast]
        where = {"representation": row.representation, "share": 100}
        means = [cell(made["grid"], layers=name, **where)["accuracy"] for name in first]
        after = cell(made["grid"], layers=second, **where)["accuracy"]
        assert row.drop == pytest.approx(np.mean(means) - after, abs=1e-12)
        assert row.retention == pytest.approx(after / np.mean(means))
        sd = [cell(made["grid"], layers=name, **where)["sd_runs"] for name in (*first, second)]
        weights = [*[1 / len(first)] * len(first), 1]
        assert row.se_runs == pytest.approx(np.linalg.norm(np.multiply(weights, sd)) / 3**0.5)
        assert row.relative == pytest.approx(1 - row.retention)
        assert row.low <= row.drop <= row.high
    assert len(made["drops"]) == 3 * 5


def test_half_minus_visual_uses_the_mean_of_the_halves(made):
    drop = made["drops"].pivot(index="representation", columns="contrast", values="drop")
    mean = (drop["all-half0"] + drop["all-half1"]) / 2
    assert (drop["all-visual"] - mean).to_numpy() == pytest.approx(drop["half-visual"].to_numpy())


def test_holm_is_over_the_representations_within_a_contrast(made):
    for _, part in made["drops"].groupby("contrast"):
        assert part["p_holm"].to_numpy() == pytest.approx(holm(part["p"].to_numpy()))


def test_identical_predictions_drop_by_exactly_zero():
    labels = LABELS * 11
    expected = [["ensemble", layers, 100, run] for layers in ("all", "visual") for run in range(3)]
    parts = [predicted(["ensemble", "all", 100, run], labels, 0.6) for run in range(3)]
    parts += [part.assign(layers="visual") for part in parts]
    runs = pd.DataFrame([finished(part) for part in parts])
    made = tables(runs, pd.concat(parts), expected)
    row = cell(made["drops"], contrast="all-visual")
    assert (row["drop"], row["low"], row["high"], row["p"], row["p_holm"]) == (0, 0, 0, 1, 1)
    assert (made["classes"][["drop", "low", "high"]] == 0).all(axis=None)


def test_the_order_of_prediction_rows_and_of_runs_changes_nothing(inputs, made):
    expected, runs, predictions = inputs
    shuffled = [table.sample(frac=1, random_state=3) for table in (runs, predictions)]
    again = tables(*shuffled, expected)
    for name, table in made.items():
        pd.testing.assert_frame_equal(again[name], table, check_exact=True, check_dtype=False)


def test_pairing_by_position_would_give_another_answer_on_shuffled_rows(inputs, made):
    _, _, predictions = inputs
    test = predictions[(predictions["split"] == "test") & (predictions["share"] == 100)]
    test = test[(test["representation"] == "ensemble") & (test["run"] == 0)]
    right = {
        layers: (part["label"] == part["predicted"]).astype(float).set_axis(part["row"])
        for layers, part in test.sample(frac=1, random_state=1).groupby("layers")
    }
    by_row = right["all"] - right["visual"]
    by_position = right["all"].to_numpy() - right["visual"].to_numpy()
    assert by_row.mean() == pytest.approx(by_position.mean())
    assert paired_p(by_row.to_numpy()) != pytest.approx(paired_p(by_position), rel=1e-3)


def test_class_drops_weighted_by_class_size_add_up_to_the_drop(made):
    for name, part in made["classes"].groupby("representation"):
        assert list(part["label"]) == LABELS
        whole = np.average(part["drop"], weights=part["n_test"])
        row = cell(made["drops"], representation=name, contrast="all-visual")
        assert whole == pytest.approx(row["drop"], abs=1e-12)
        assert part["n_test"].sum() == row["n_test"]


def test_recall_is_that_of_the_predictions(inputs, made):
    _, _, predictions = inputs
    where = {"representation": "spectral", "layers": "visual", "share": 100, "label": "bird"}
    where["split"] = "test"
    rows = predictions[(predictions[list(where)] == pd.Series(where)).all(axis=1)]
    row = cell(made["classes"], representation="spectral", label="bird")
    assert row["recall_visual"] == pytest.approx((rows["predicted"] == "bird").mean())


@pytest.mark.parametrize("how", ["absent", "failed", "diverged"])
def test_a_missing_cell_is_named_and_shifts_nothing(inputs, made, how):
    expected, runs, predictions = inputs
    runs, name = runs.copy(), ("spectral", "visual")
    gone = (runs["representation"] == name[0]) & (runs["layers"] == name[1])
    runs.loc[gone, "status"] = how
    runs = runs[~gone] if how == "absent" else runs
    there = (predictions["representation"] == name[0]) & (predictions["layers"] == name[1])
    again = tables(runs, predictions[~there], expected)
    status = "missing" if how == "absent" else how
    line = grid_state(again["complete"])
    assert line.startswith("grid incomplete: 60 of 63 runs")
    assert f"{status}: spectral/visual/100/0, spectral/visual/100/1" in line
    assert set(again["complete"]["status"]) == {"ok", status}
    lost = made["drops"]["contrast"].isin(["all-visual", "half-visual"])
    lost &= made["drops"]["representation"] == "spectral"
    left = made["drops"][~lost].reset_index(drop=True)
    # Only Holm's correction knows how many representations there are.
    pd.testing.assert_frame_equal(
        again["drops"].drop(columns="p_holm"), left.drop(columns="p_holm"), check_exact=True
    )
    kept = made["grid"][~((made["grid"]["representation"] == name[0])
                          & (made["grid"]["layers"] == name[1]))]  # fmt: skip
    pd.testing.assert_frame_equal(again["grid"], kept.reset_index(drop=True), check_exact=True)


def test_a_missing_half_does_not_redefine_the_mean_of_the_halves(inputs):
    expected, runs, predictions = inputs
    gone = (runs["layers"] == "half1") & (runs["representation"] == "ensemble")
    again = tables(runs[~gone], predictions, expected)["drops"]
    found = set(again.loc[again["representation"] == "ensemble", "contrast"])
    assert found == {"all-visual", "all-text", "all-half0"}


def test_adding_a_run_changes_only_its_cell(inputs, made):
    expected, runs, predictions = inputs
    key = ["ensemble", "text", 100, 3]
    labels = list(predictions["label"].iloc[:80])
    new = predicted(key, labels, 0.9)
    runs = pd.concat([runs, pd.DataFrame([finished(new)])])
    again = tables(runs, pd.concat([predictions, new]), [*expected, key])
    changed = (again["grid"] != made["grid"]) & ~(again["grid"].isna() & made["grid"].isna())
    rows = again["grid"][changed.any(axis=1)]
    assert rows[["representation", "layers", "runs"]].to_numpy().tolist() == [
        ["ensemble", "text", 4]
    ]
    other = again["drops"]["contrast"] != "all-text"
    assert again["drops"][other].equals(made["drops"][other])
    assert again["classes"].equals(made["classes"])
    assert again["curve"].equals(made["curve"])


def test_the_learning_curve_is_the_grid_of_all_layers_by_share(made):
    curve = made["curve"]
    assert list(curve["representation"].unique()) == REPRESENTATIONS
    assert curve["n_train"].tolist() == [175, 350, 700] * 3
    row = cell(curve, representation="ensemble", share=50)
    same = cell(made["grid"], representation="ensemble", share=50, layers="all")
    assert row["accuracy"] == same["accuracy"]


@pytest.mark.parametrize("labels", [["cat"], ["cat"] * 6, ["cat", "dog"]])
def test_one_test_row_or_one_class_does_not_crash(labels):
    expected = grid_of(runs=1)
    made = tables(*study(expected, labels), expected)
    assert len(made["grid"]) == len(expected)
    assert made["grid"]["sd_runs"].isna().all()
    assert made["grid"]["boot_low"].isna().all() == (len(labels) == 1)
    assert made["drops"]["low"].isna().all() == (len(labels) == 1)
    assert made["classes"]["low"].isna().all() == (labels != ["cat"] * 6)


def test_nothing_finished_gives_empty_tables_and_names_everything(inputs):
    expected, runs, predictions = inputs
    made = tables(runs.iloc[:1], predictions, expected)
    assert [len(made[name]) for name in ("grid", "drops", "classes", "curve")] == [0] * 4
    assert (made["complete"]["status"] == "missing").all()
    assert grid_state(made["complete"]).startswith("grid incomplete: 0 of 63 runs")


def test_predictions_that_contradict_the_runs_are_refused(inputs):
    expected, runs, predictions = inputs
    first = (predictions[RUN] == pd.Series(expected[0], index=RUN)).all(axis=1)
    one = predictions.index[first][:1]
    for wrong, message in [
        (predictions[~first], "simple_stats/all/100/0: finished, but not every test row"),
        (predictions.drop(one), "not every test row"),
        (pd.concat([predictions, predictions.loc[one]]), "a test row twice"),
        (predictions.assign(label=predictions["label"].mask(first, "cat")), "two labels"),
        (predictions.assign(predicted=predictions["predicted"].mask(first, "x")), "as accurate"),
    ]:
        with pytest.raises(ContractError, match=message):
            tables(runs, wrong, expected)


def test_the_stage_writes_tables_that_open_again_and_reports_the_grid(inputs, tmp_path):
    expected, runs, predictions = inputs
    for k, (_, part) in enumerate(predictions.groupby(RUN[:-1])):
        part.to_parquet(tmp_path / f"cell{k}.parquet")
    runs[runs["representation"] != "spectral"].to_parquet(tmp_path / "runs.parquet")
    read = {"runs": tmp_path / "runs.parquet"}
    read |= {"predictions": sorted(tmp_path.glob("cell*.parquet"))}
    names = ["grid", "drops", "classes", "curve", "complete"]
    job = job_of(told(expected), read, {name: tmp_path / f"{name}.csv" for name in names})
    command = [sys.executable, "-m", "scripts.lora_ablation.tables", job]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "grid incomplete: 42 of 63 runs; missing: spectral/all/100/0" in done.stderr
    made = tables(runs[runs["representation"] != "spectral"], predictions, expected)
    for name in names:
        again = pd.read_csv(tmp_path / f"{name}.csv")
        pd.testing.assert_frame_equal(again, made[name], check_dtype=False)
