"""Scores, calibration and confusion: small frames whose results are known by hand."""

import numpy as np
import pandas as pd
import pytest

from scripts.deep_gpcm import metrics
from scripts.deep_gpcm.outcome.rows import shared
from scripts.deep_gpcm.outcome.scores import calibration, confusion, scored_answers, scores
from tests.gpcm_units import answer_rows, ready, run_rows

ROLES = {"result": "fused", "classical": "gpcm", "ceiling": "bayes"}


def score_rows(runs: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    found = scores(ready(runs, runs), scored_answers(ready(predictions, runs)), ROLES)
    return found.set_index(["data", "arm"])


def certain(nll: float) -> list[list]:
    """Probabilities of two categories such that category 0 costs `nll`."""
    return [[np.exp(-nll), 1 - np.exp(-nll)]]


@pytest.fixture
def three_folds() -> tuple[pd.DataFrame, pd.DataFrame]:
    """One answer a fold: fused costs 1.0, 1.2, 1.4, gpcm costs 0.9, 1.0, 1.1 nats."""
    nll = {("fused", k): 1 + 0.2 * k for k in range(3)} | {("gpcm", k): 0.9 + 0.1 * k
                                                           for k in range(3)}  # fmt: skip
    units = [("X", *key) for key in nll]
    runs = run_rows(units, nll=list(nll.values()), fit_s=[1.0, 2.0, 6.0, 0.1, 0.1, 0.1])
    return runs, pd.concat(answer_rows(u, [0], certain(nll[u[1:]])) for u in units)


def test_scores_are_means_and_sample_deviations_over_folds(three_folds):
    fused = score_rows(*three_folds).loc[("X", "fused")]
    assert fused["folds"] == 3
    assert fused["nll"] == pytest.approx(1.2)
    assert fused["nll_sd"] == pytest.approx(0.2)
    assert fused["fit_s"] == pytest.approx(3)
    assert fused["role"] == "result"
    assert np.isnan(fused["nll_difference"])
    assert np.isnan(fused["common_folds"])


def test_differences_are_paired_by_fold_and_have_students_interval(three_folds):
    gpcm = score_rows(*three_folds).loc[("X", "gpcm")]
    reach = 4.302653 * 0.1 / np.sqrt(3)  # t at 97.5 % with 2 degrees of freedom
    assert gpcm["nll_difference"] == pytest.approx(-0.2, abs=1e-6)
    assert gpcm["nll_low"] == pytest.approx(-0.2 - reach, abs=1e-5)
    assert gpcm["nll_high"] == pytest.approx(-0.2 + reach, abs=1e-5)
    assert gpcm["common_folds"] == 3
    # An unpaired comparison of the same numbers would not have seen it.
    assert gpcm["nll_high"] < 0.2 * 2.776 * np.sqrt((0.04 + 0.01) / 3)


def test_only_common_finished_folds_are_compared(three_folds):
    runs, predictions = three_folds
    runs = runs.assign(status=["ok", "diverged", "ok", "failed", "ok", "ok"])
    gpcm = score_rows(runs, predictions).loc[("X", "gpcm")]
    assert gpcm["folds"] == 2
    assert gpcm["nll"] == pytest.approx(1.05)
    assert gpcm["common_folds"] == 1
    assert gpcm["nll_difference"] == pytest.approx(-0.3, abs=1e-6)
    assert np.isnan(gpcm["nll_low"])


def test_an_arm_without_a_common_fold_has_no_difference(three_folds):
    runs, predictions = three_folds
    runs = runs.assign(status=["ok", "failed", "failed", "failed", "ok", "ok"])
    gpcm = score_rows(runs, predictions).loc[("X", "gpcm")]
    assert gpcm["folds"] == 2
    assert np.isnan(gpcm[["nll_difference", "nll_low", "qwk_difference"]].astype(float)).all()


def test_arms_keep_the_order_of_the_runs_and_data_sets_that_of_the_specification():
    units = [("X", "gpcm", 0), ("X", "fused", 0), ("Y", "fused", 0), ("Z", "fused", 0)]
    predictions = pd.concat(answer_rows(unit, [0], certain(1.0)) for unit in units)
    found = score_rows(run_rows(units), predictions)
    assert list(found.index) == [("Y", "fused"), ("X", "gpcm"), ("X", "fused")]


def test_scores_of_the_answers_agree_with_the_metrics():
    rng = np.random.default_rng(0)
    p, response = rng.dirichlet(np.ones(4), 300), rng.integers(0, 4, 300)
    unit = ("X", "fused", 0)
    predictions = answer_rows(unit, response, p)
    wanted = metrics.scores(p, response)
    other = answer_rows(("X", "gpcm", 0), response, np.full((300, 4), 0.25))
    runs = run_rows([unit, ("X", "gpcm", 0)])
    found = score_rows(runs, pd.concat([predictions, other]))
    assert found.loc[("X", "fused"), "nll_answers"] == pytest.approx(wanted["nll"], rel=1e-6)
    assert found.loc[("X", "fused"), "accuracy_answers"] == pytest.approx(wanted["accuracy"])
    gpcm = found.loc[("X", "gpcm")]
    assert gpcm["qwk_difference"] == pytest.approx(-wanted["qwk"])
    assert gpcm["nll_difference"] == pytest.approx(np.log(4) - wanted["nll"], rel=1e-6)


def test_an_arm_that_scores_padding_is_compared_on_its_answers(three_folds):
    runs, predictions = three_folds
    runs = runs.assign(nll=runs["nll"].where(runs["arm"] != "gpcm", 0.01))
    gpcm = score_rows(runs, predictions).loc[("X", "gpcm")]
    assert gpcm["nll"] == pytest.approx(0.01)
    assert gpcm["nll_answers"] == pytest.approx(1.0)
    assert gpcm["nll_difference"] == pytest.approx(-0.2, abs=1e-6)


def test_a_zero_probability_costs_much_and_ties_go_to_the_lower_category():
    answers = scored_answers(
        answer_rows(("X", "fused", 0), [1, 1, 0], [[1, 0], [0.5, 0.5], [0.5, 0.5]])
    )
    assert answers["nll"].tolist() == pytest.approx([708.396, np.log(2), np.log(2)])
    assert answers["predicted"].tolist() == [0, 0, 0]
    assert answers["correct"].tolist() == [False, False, True]


def test_data_sets_may_differ_in_their_number_of_categories():
    rows = pd.concat([answer_rows(("X", "fused", 0), [1], [[0.4, 0.6]]),
                      answer_rows(("Y", "fused", 0), [2], [[0.1, 0.2, 0.7]])])  # fmt: skip
    answers = scored_answers(rows)
    assert answers["categories"].tolist() == [2, 3]
    assert answers["predicted"].tolist() == [1, 2]
    assert answers["nll"].tolist() == pytest.approx([-np.log(0.6), -np.log(0.7)])


def test_bins_of_confidence_are_open_below_and_closed_above():
    unit, p = ("X", "fused", 0), np.array([0.75, 0.55, 0.52, 0.95, 1.0])
    predictions = answer_rows(unit, [0, 1, 0, 0, 0], np.column_stack([p, 1 - p]))
    found = calibration(scored_answers(ready(predictions, run_rows([unit]))), ["fused"])
    assert len(found) == 10
    assert found["count"].tolist() == [0, 0, 0, 0, 0, 2, 0, 1, 0, 2]
    filled = found[found["count"] > 0]
    assert filled["low"].tolist() == [0.5, 0.7, 0.9]
    assert filled["confidence"].tolist() == pytest.approx([0.535, 0.75, 0.975])
    assert filled["accuracy"].tolist() == [0.5, 1, 1]
    assert found.loc[found["count"] == 0, ["confidence", "accuracy"]].isna().all(axis=None)


def test_bins_add_up_to_the_calibration_error():
    rng = np.random.default_rng(1)
    p, response, unit = rng.dirichlet(np.ones(3), 500), rng.integers(0, 3, 500), ("X", "fused", 0)
    answers = scored_answers(ready(answer_rows(unit, response, p), run_rows([unit])))
    bins = calibration(answers, ["fused"]).dropna()
    error = (bins["count"] * (bins["accuracy"] - bins["confidence"]).abs()).sum() / 500
    wanted = metrics.calibration_error(answers["confidence"].to_numpy(), answers["correct"])
    assert error == pytest.approx(wanted)
    assert wanted > 0.1


def test_arms_are_pooled_over_the_folds_they_share_in_the_order_asked_for():
    units = [("X", "item_marginal", 0), ("X", "fused", 0), ("X", "fused", 1), ("X", "adamw", 0)]
    predictions = pd.concat(answer_rows(u, [0, 1], [[0.8, 0.2], [0.3, 0.7]]) for u in units)
    answers = scored_answers(ready(predictions, run_rows(units)))
    found = calibration(answers, ["fused", "gpcm", "item_marginal", "fused"])
    assert found.groupby("arm", observed=True, sort=False)["count"].sum().to_dict() == {
        "fused": 2,
        "item_marginal": 2,
    }
    assert list(found["arm"].unique()) == ["fused", "item_marginal"]
    assert calibration(answers, ["fused"])["count"].sum() == 4


def test_confusion_counts_answers_by_response_and_prediction():
    p = np.eye(3)[[0, 1, 1, 2, 0]]
    units = [("X", "fused", 0), ("X", "fused", 1)]
    predictions = pd.concat(answer_rows(unit, [0, 0, 1, 2, 2], p) for unit in units)
    found = confusion(scored_answers(ready(predictions, run_rows(units))), ["fused", "gpcm"])
    counts = found.pivot(index="response", columns="predicted", values="count").to_numpy()
    assert counts.tolist() == [[2, 2, 0], [0, 2, 0], [2, 0, 2]]


def test_shared_folds_are_found_for_each_data_set():
    units = [("X", "fused", 0), ("X", "fused", 1), ("X", "gpcm", 1), ("Y", "fused", 0)]
    rows = ready(run_rows(units), run_rows(units))
    found = shared(rows)[["data", "arm", "fold"]].astype(str).agg(" ".join, axis=1).tolist()
    assert found == ["Y fused 0", "X fused 1", "X gpcm 1"]


def test_two_rows_of_one_unit_in_the_runs_are_refused(three_folds):
    runs, predictions = three_folds
    with pytest.raises(pd.errors.MergeError):
        ready(predictions, pd.concat([runs, runs]))
