"""Tables of the original's faults, of fixed points and of time."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from scripts.tep_bp.outcome.model_tables import bias
from tests.tep_outcome import LEGACY, gradient, outcome, runs, searched


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return runs()


@pytest.fixture(scope="module")
def made(rows) -> dict[str, pd.DataFrame]:
    return outcome(rows)


def test_repairs_are_paired_with_the_first_legacy_arm(rows, made):
    table = made["legacy"].set_index("arm")
    assert list(table.index) == [*LEGACY, "gated"]
    assert table["role"].tolist() == ["legacy"] * 5 + ["result"]
    first, last = (
        searched(rows, arm=arm).set_index("trial")["val_accuracy"] for arm in (LEGACY[0], LEGACY[4])
    )
    row = table.loc[LEGACY[4]]
    assert row["difference"] == pytest.approx((last - first).mean())
    found = stats.ttest_1samp(last - first, 0).confidence_interval(0.95)
    assert (row["low"], row["high"]) == pytest.approx(tuple(found))
    assert math.isnan(table.loc[LEGACY[0], "difference"])
    assert set(table["trials"]) == {12}


def test_an_arm_without_the_same_trials_has_no_difference(rows):
    gone = rows[(rows["arm"] == LEGACY[2])].index[0]
    table = outcome(rows.drop(index=gone))["legacy"].set_index("arm")
    assert table.loc[LEGACY[2], "reason"] == f"{LEGACY[2]}: 1 of 12 trials are missing"
    assert math.isnan(table.loc[LEGACY[2], "difference"])
    assert not math.isnan(table.loc[LEGACY[3], "difference"])


def test_the_batch_size_matters_where_the_nudge_is_divided_by_it(made):
    table = made["by_batch"]
    first, second = (table[table["arm"] == arm] for arm in LEGACY[:2])
    assert first["batch"].is_monotonic_increasing
    assert (np.diff(first["median"]) < 0).all()
    assert second["median"].nunique() == 1
    assert first["trials"].sum() == 12


def test_residuals_are_of_arms_that_have_fixed_points_and_count_what_is_not_finite(rows):
    rows = rows.copy()
    part = searched(rows)
    wide = part.index[part["hidden"] == 128]
    rows.loc[wide[0], "residual_free"] = 0.06
    rows.loc[wide[1], ["status", "residual_free"]] = ["diverged", np.nan]
    table = outcome(rows)["residuals"]
    assert set(zip(table["arm"], table["rule"], strict=True)) == {
        (arm, rule) for arm in ("gated", "reference") for rule in ("tep", "rbp")
    }
    row = table.set_index(["arm", "rule", "hidden"]).loc[("gated", "tep", 128)]
    assert row["warned"] == 2 / len(wide)
    assert row["residual_free_worst"] == 0.06
    assert row["unbounded"] == 1.0
    assert table.set_index(["arm", "rule", "hidden"]).loc[("gated", "tep", 64), "unbounded"] == 0.0


def test_a_group_that_diverged_altogether_is_not_left_out(rows):
    rows = rows.copy()
    wide = (rows["hidden"] == 128) & (rows["arm"] == "gated")
    rows.loc[wide, ["status", "residual_free"]] = ["diverged", np.nan]
    table = outcome(rows)["residuals"].set_index(["arm", "rule", "hidden"])
    assert table.loc[("gated", "tep", 128), "warned"] == 1.0
    # A rule without fixed points has none to miss.
    assert ("gated", "bp", 128) not in table.index


def test_slopes_are_the_orders_of_theory_and_the_worst_of_equal_beta_counts():
    table = bias(gradient())
    slopes = table.groupby("difference")["slope"].apply(list)
    assert slopes["one_sided"][1:] == pytest.approx([1, 1])
    assert slopes["centred"][1:] == pytest.approx([2, 2])
    twice = pd.concat([gradient(), gradient().assign(error=0.0, cosine=1.0)])
    pd.testing.assert_frame_equal(bias(twice), table)
    pd.testing.assert_frame_equal(bias(gradient().iloc[::-1]), table)


def test_phases_are_shares_of_their_sum(made):
    shares = made["widths"][["data", "free", "nudged", "update", "evaluate"]]
    assert shares.sum(axis=1).to_numpy() == pytest.approx(1.0)
    row = made["widths"].set_index(["arm", "rule", "hidden"]).loc[("gated", "tep", 64)]
    assert (row["fit_s"], row["free"], row["epochs"]) == pytest.approx((1.0, 0.4, 30))
