"""Estimates beside the truth: recovery, category curves, convergence, on frames known by hand."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from scripts.deep_gpcm.models.irt.partial_credit import Parameters
from scripts.deep_gpcm.outcome.curves import POOLED, SINGLE, categories, convergence, spread, steps
from scripts.deep_gpcm.outcome.recovery import Fitted, first_fold, fitted, linked, points, recovery
from tests.gpcm_answers import parameters
from tests.gpcm_units import ready, run_rows, unit_tables

ARMS = ["fused", "gpcm", "bayes"]


@pytest.fixture
def truth() -> Parameters:
    return parameters(40, np.array([4] * 14 + [2]), seed=3)


@pytest.fixture
def two_folds(truth) -> tuple:
    """Units of X: fused on another scale in fold 0, and with a threshold 0.3 too high in fold 1."""
    half = [replace(truth, student=truth.student[s], theta=truth.theta[s])
            for s in (slice(20), slice(20, None))]  # fmt: skip
    shifted = replace(half[1], beta=half[1].beta + 0.3)
    known = {("X", "fused", 0): linked(half[0], 0.5, 2.0), ("X", "fused", 1): shifted}
    known |= {("X", "bayes", 0): half[0], ("X", "gpcm", 0): half[0]}
    pairs = [unit_tables(key, estimates) for key, estimates in known.items()]
    return run_rows(list(known)), *(
        pd.concat(tables, ignore_index=True) for tables in zip(*pairs, strict=True)
    )


def fitted_units(two_folds: tuple, truth: Parameters | None) -> list[Fitted]:
    runs, predictions, items = two_folds
    tables = (ready(predictions, runs), ready(items, runs))
    return list(fitted(*tables, {"X": truth, "Y": None}, ["bayes"]))


def recovered(units: list[Fitted], arm: str = "fused") -> pd.DataFrame:
    found = recovery(units)
    return found[found["arm"] == arm].set_index("parameter")


def test_recovery_is_the_mean_over_folds_after_linking(two_folds, truth):
    found = recovered(fitted_units(two_folds, truth))
    assert list(found.index) == ["theta", "alpha", "beta_1", "beta_2", "beta_3"]
    assert found["folds"].tolist() == [2] * 5
    assert found["n"].tolist() == [20, 15, 15, 14, 14]
    assert found["correlation"].tolist() == pytest.approx([1] * 5)
    assert found["bias"].tolist() == pytest.approx([0, 0, 0.15, 0.15, 0.15], abs=1e-12)
    assert found["rmse"].tolist() == pytest.approx([0, 0, 0.15, 0.15, 0.15], abs=1e-12)
    # Before linking: a scale half as wide in one fold, the true one in the other.
    assert found["slope"].tolist() == pytest.approx([0.75, 1.5, 0.75, 0.75, 0.75])
    ordered = (np.diff(truth.beta[:14], axis=1) >= 0).all(axis=1).sum() + 1
    assert found["ordered_share"].tolist() == pytest.approx([ordered / 15] * 5)


def test_the_arms_that_know_the_items_recover_nothing(two_folds, truth):
    assert set(recovery(fitted_units(two_folds, truth))["arm"]) == {"fused", "gpcm"}


def test_data_without_truth_have_no_recovery_no_points_and_no_curves(two_folds):
    units = fitted_units(two_folds, None)
    assert units == []
    for table in (recovery(units), points(units), categories(units)):
        assert len(table) == 0
        assert list(table.columns)[:2] == ["data", "arm"]


def test_theta_is_that_of_the_last_answer_and_windows_are_averaged(two_folds, truth):
    runs, predictions, items = two_folds
    again = predictions.assign(
        theta=np.where(predictions["t"] == 2, predictions["theta"] + 1, 99.0)
    )
    one = fitted_units((runs, pd.concat([predictions, again]), items), truth)[0]
    assert one.estimates.theta == pytest.approx(linked(truth, 0.5, 2.0).theta[:20] + 0.5)


def test_students_are_paired_by_id(two_folds, truth):
    order = np.random.default_rng(5).permutation(40)
    moved = replace(truth, student=truth.student[order], theta=truth.theta[order])
    assert recovery(fitted_units(two_folds, moved)).equals(recovery(fitted_units(two_folds, truth)))
    # The original's mistake: the same values under the ids of others.
    wrong = recovered(fitted_units(two_folds, replace(truth, theta=truth.theta[order])))
    assert abs(wrong.loc["theta", "correlation"]) < 0.5


def test_an_item_that_no_test_student_met_keeps_its_thresholds(two_folds, truth):
    runs, predictions, items = two_folds
    items = items.assign(alpha=items["alpha"].where(items["question_id"] != 3))
    found = recovered(fitted_units((runs, predictions, items), truth))
    assert found["n"].tolist() == [20, 14, 15, 14, 14]


def test_an_arm_without_item_estimates_is_not_compared_with_the_truth(two_folds, truth):
    runs, predictions, items = two_folds
    items.loc[items["arm"] == "gpcm", ["alpha", "beta_1", "beta_2", "beta_3"]] = np.nan
    assert {one.arm for one in fitted_units((runs, predictions, items), truth)} == {"fused"}


def test_points_are_those_of_the_first_finished_fold_after_linking(two_folds, truth):
    runs, predictions, items = two_folds
    units = first_fold(fitted_units(two_folds, truth), ["fused", "gpcm"])
    assert [(one.arm, one.fold) for one in units] == [("fused", 0), ("gpcm", 0)]
    found = points(units)
    assert found["estimate"].to_numpy() == pytest.approx(found["true"].to_numpy())
    counts = found[found["arm"] == "fused"].groupby("parameter")["true"].size()
    assert counts.to_dict() == {"theta": 20, "alpha": 15, "beta_1": 15, "beta_2": 14, "beta_3": 14}
    failed = runs.assign(status=["failed", "ok", "ok", "ok"])
    units = first_fold(fitted_units((failed, predictions, items), truth), ["fused"])
    assert [one.fold for one in units] == [1]


def test_curves_of_true_parameters_on_another_scale_are_the_true_ones(two_folds, truth):
    units = first_fold(fitted_units(two_folds, truth), ["fused", "gpcm"])
    found = categories(units)
    assert found["estimate"].to_numpy() == pytest.approx(found["true"].to_numpy())
    sums = found.groupby(["arm", "item", "theta"])["true"].sum()
    assert sums.to_numpy() == pytest.approx(np.ones(2 * 6 * 41))
    assert found["item"].nunique() == 6


def test_a_curve_has_the_value_of_the_partial_credit_model():
    one = Parameters(np.arange(2), np.array([-1.0, 1.0]), np.array([2.0]), np.array([[-0.5, 1.0]]))
    found = categories([Fitted("X", "fused", 0, one, one)])
    at_one = found[(found["theta"] - 1.0).abs() < 1e-9].set_index("category")["true"]
    odds = np.exp([0, 2 * 1.5, 2 * 1.5])  # alpha (theta - beta), summed up
    assert at_one.tolist() == pytest.approx((odds / odds.sum()).tolist())
    assert found["theta"].min() == -4
    assert found["theta"].max() == 4


def test_an_item_with_two_levels_has_two_curves(truth):
    levels = np.array([4, 2, 4])
    few = parameters(30, levels, seed=1)
    found = categories([Fitted("X", "fused", 0, few, few)])
    assert found.groupby("item")["category"].nunique().to_dict() == {1: 4, 2: 2, 3: 4}


def test_items_are_spread_evenly_over_difficulty_and_all_arms_know_them():
    difficulty = np.array([5.0, 0, 1, 2, 3, 4, 10, 6, 7, 8, 9])
    assert difficulty[spread(difficulty, np.full(11, True))].tolist() == [0, 2, 4, 6, 8, 10]
    known = difficulty < 6
    assert difficulty[spread(difficulty, known)].tolist() == [0, 1, 2, 3, 4, 5]
    assert difficulty[spread(difficulty, difficulty < 2)].tolist() == [0, 1]
    assert len(spread(difficulty, np.full(11, False))) == 0


def test_an_item_whose_slope_one_arm_lacks_is_not_shown(truth):
    lacking = replace(truth, alpha=np.where(np.arange(15) % 2, np.nan, truth.alpha))
    units = [Fitted("X", "fused", 0, lacking, truth), Fitted("X", "gpcm", 0, truth, truth)]
    found = categories(units)
    assert set(found["item"] % 2) == {1}
    assert found["estimate"].notna().all()


def test_the_error_of_ability_is_measured_on_the_scale_of_the_last_abilities():
    true = Parameters(np.arange(2), np.array([-1.0, 1.0]), np.ones(1), np.zeros((1, 1)))
    theta = [
        0.0,
        -1.0,
        -2.0,
        0.0,
        3.0,
        2.0,
    ]  # two students, three answers each; scale twice as wide
    rows = [("X", arm, 0, k // 3, k % 3, value) for arm in ARMS
            for k, value in enumerate(theta)]  # fmt: skip
    columns = ["data", "arm", "fold", "student_id", "t", "theta"]
    runs = run_rows([("X", arm, 0) for arm in ARMS])
    table = ready(pd.DataFrame(rows, columns=columns), runs)
    found = convergence(table, {"X": true, "Y": None}, ARMS)
    assert list(found["arm"].unique()) == ["fused", "gpcm", "bayes"]
    fused = found[found["arm"] == "fused"]
    assert fused["t"].tolist() == [0, 1, 2]
    assert fused["n"].tolist() == [2, 2, 2]
    assert fused["rmse"].tolist() == pytest.approx([1, 0.5, 0])
    assert len(convergence(table, {"X": None, "Y": None}, ["fused"])) == 0


def test_folds_have_scales_of_their_own_and_only_common_ones_count(two_folds, truth):
    runs, predictions, _ = two_folds
    rows = ready(predictions, runs)
    alone = convergence(rows, {"X": truth, "Y": None}, ["fused"])
    assert alone["n"].tolist() == [40, 40, 40]
    assert alone["rmse"].iloc[-1] == pytest.approx(0, abs=1e-12)
    both = convergence(rows, {"X": truth, "Y": None}, ["fused", "gpcm"])
    assert both["n"].tolist() == [20] * 6


def test_early_answers_stand_alone_and_later_ones_are_pooled_into_equal_steps():
    for last in (5, 59, 60, 199, 399, 1000):
        place = np.arange(last + 1)
        found, counts = np.unique(steps(place), return_counts=True)
        assert len(found) <= SINGLE + POOLED
        assert (counts[:20] == 1).all()
        assert len(set(counts[20:-1])) <= 1
        assert counts.sum() == last + 1
    assert len(np.unique(steps(np.arange(60)))) == 60
