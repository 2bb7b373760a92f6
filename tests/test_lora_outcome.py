"""Intervals and tests behind the tables of the ablation: the textbook's, and honest coverage."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from scripts.lib.stats import wilson
from scripts.lora_ablation.costs import stage_rows
from scripts.lora_ablation.outcome.drops import holm, paired_p
from scripts.lora_ablation.outcome.grid import percentiles, resampled_means
from scripts.lora_ablation.specs import CostsJob


def test_wilson_is_the_textbook_interval():
    # Newcombe (1998), Statistics in Medicine 17, table I.
    for successes, n, low, high in [
        (81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611), (1, 29, 0.0061, 0.1718),
    ]:  # fmt: skip
        assert wilson(successes / n, n) == pytest.approx((low, high), abs=5e-5)
    exact = stats.binomtest(13, 17).proportion_ci(0.9, method="wilson")
    assert wilson(13 / 17, 17, 0.9) == pytest.approx((exact.low, exact.high), abs=1e-12)


def test_wilson_takes_the_mean_of_runs_which_is_no_whole_number_of_rows():
    low, high = wilson(40.5 / 60, 60)
    assert wilson(40 / 60, 60)[0] < low < wilson(41 / 60, 60)[0]
    assert wilson(40 / 60, 60)[1] < high < wilson(41 / 60, 60)[1]


def test_intervals_cover_the_true_accuracy_and_the_true_drop_as_often_as_they_say():
    rng, covered, trials = np.random.default_rng(5), np.zeros(3), 400
    true = 2 / 3, 5 / 12  # P(0.6 U + 0.4 V < x) = (x - 0.2) / 0.6 for x in [0.4, 0.6]
    for _ in range(trials):
        shared = rng.random((120, 1))  # the same rows are hard for both
        hits = (0.6 * shared + 0.4 * rng.random((120, 2)) < [0.6, 0.45]).astype(float)
        drawn = resampled_means(hits, 300, rng)
        for which, (span, value) in enumerate([
            (percentiles(drawn[:, 0], 0.95), true[0]),
            (percentiles(drawn[:, 0] - drawn[:, 1], 0.95), true[0] - true[1]),
            (wilson(hits[:, 0].mean(), 120), true[0]),
        ]):  # fmt: skip
            covered[which] += span[0] <= value <= span[1]
    # Four binomial standard errors of 400 trials below 95 %, and never always.
    assert (covered / trials > 0.95 - 4 * 0.0109).all()
    assert (covered / trials < 0.995).all()


def test_pairing_makes_the_interval_of_a_drop_narrower_than_independent_rows_would():
    rng = np.random.default_rng(3)
    hard = rng.random((200, 1))
    hits = (0.8 * hard + 0.2 * rng.random((200, 2)) < 0.6).astype(float)
    drawn = resampled_means(hits, 2000, rng)
    other = resampled_means(hits, 2000, rng)
    assert (drawn[:, 0] - drawn[:, 1]).std() < 0.7 * (drawn[:, 0] - other[:, 1]).std()


def test_blocks_of_draws_give_what_single_rows_give(monkeypatch):
    hits = np.random.default_rng(0).integers(0, 4, (30, 5)).astype(float)
    whole = resampled_means(hits, 64, np.random.default_rng(1))
    alone = resampled_means(hits[:, 2:3], 64, np.random.default_rng(1))
    assert np.array_equal(whole[:, 2:3], alone)
    monkeypatch.setattr("scripts.lora_ablation.outcome.grid.BLOCK", 60)
    assert np.array_equal(resampled_means(hits, 64, np.random.default_rng(1)), whole)


def test_holm_is_monotone_and_never_below_p():
    p = np.array([0.03, 0.001, 0.04, np.nan, 0.9, 0.011])
    adjusted = holm(p)
    assert adjusted == pytest.approx([0.09, 0.005, 0.09, np.nan, 0.9, 0.044], nan_ok=True)
    known = ~np.isnan(p)
    assert (adjusted[known] >= p[known]).all()
    assert (np.diff(adjusted[known][np.argsort(p[known])]) >= 0).all()
    assert adjusted[known].max() <= 1


def test_the_paired_test_is_students():
    a, b = np.random.default_rng(0).random((2, 50))
    assert paired_p(a - b) == pytest.approx(stats.ttest_rel(a, b).pvalue, rel=1e-12)
    assert paired_p(np.zeros(5)) == 1
    assert paired_p(np.ones(5)) == 0
    assert np.isnan(paired_p(np.ones(1)))


def test_a_stage_that_was_not_measured_has_no_projected_cost():
    measured = pd.DataFrame({"workload": ["train"], "contestant": ["a"], "fit_s": [2.0]})
    measured["arm"] = "a"
    runs = pd.DataFrame({"arm": ["a"], "stage": ["train"], "n_epochs": [3]})
    work = {"passes": 2, "batch": 7, "cells": 1, "runs": 1, "adapters": [100], "repairs": []}
    job = CostsJob(arm="a", contestants=["a"], stages={"train": "train"}, ranks={}, **work)
    nothing = job.model_copy(update={"stages": {}})
    assert stage_rows(measured, runs, nothing) == []
    (row,) = stage_rows(measured.assign(n_steps=4), runs, job)
    assert (row["stage"], row["cost_ms"], row["model_s"]) == ("train", 500.0, 15.0)
