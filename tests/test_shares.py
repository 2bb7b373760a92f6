"""Intervals of shares stay within 0 and 1, and are those of means where they need not be else."""

import numpy as np
import pandas as pd
import pytest

from scripts.deep_gpcm.jobs import METRICS as GPCM
from scripts.lib.sections import Summary
from scripts.lib.stats import mean, mean_share, paired_interval, proportion, wilson
from scripts.lora_ablation.jobs import METRICS as LORA
from scripts.spine.aggregate import summarise
from scripts.tep_bp.specs import METRICS as TEP

HIGH = np.array([0.98, 1.0, 0.99, 1.0, 1.0])  # whose normal interval ends at 1.0018


def test_the_interval_of_high_and_of_low_shares_stays_within_0_and_1():
    assert mean(HIGH).high > 1
    for student in (False, True):
        high, low = (mean_share(values, student=student) for values in (HIGH, 1 - HIGH))
        assert 0 < high.low < HIGH.mean() < high.high < 1
        assert (low.low, low.high) == pytest.approx((1 - high.high, 1 - high.low))
    assert mean_share(HIGH, student=True).low < mean_share(HIGH).low


def test_of_zeros_and_ones_it_is_the_interval_of_a_proportion():
    values = np.repeat([1.0, 0.0], [93, 7])
    expected = proportion(93, 100)
    found = mean_share(values)
    # The mean's standard error divides by n - 1.
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-3)
    assert wilson(0.93, 100) == pytest.approx((expected.low, expected.high))


def test_in_the_middle_it_is_the_interval_of_a_mean():
    values = np.random.default_rng(0).normal(0.5, 0.01, 200)
    found, expected = mean_share(values), mean(values)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-6)
    assert (found.value, found.mcse) == (expected.value, expected.mcse)


def test_it_covers_the_mean_of_skewed_shares_more_often_than_students_interval():
    rng, true = np.random.default_rng(1), 40 / 41
    drawn = rng.beta(40, 1, (2000, 12))

    def coverage(interval) -> float:
        found = [interval(values) for values in drawn]
        return np.mean([one.low <= true <= one.high for one in found])

    own = coverage(lambda values: mean_share(values, student=True))
    assert own > coverage(lambda values: paired_interval(values, 0.95))
    assert own > 0.9


@pytest.mark.parametrize("value", [0.0, 1.0, 0.3])
def test_equal_shares_have_no_width_and_a_single_one_no_interval(value):
    found = mean_share(np.full(4, value))
    assert (found.low, found.high) == pytest.approx((value, value))
    assert np.isnan([mean_share(np.array([value])).low, mean_share(np.array([value])).high]).all()


@pytest.mark.parametrize(("p", "n"), [(0, 10), (1, 10), (0.5, 1), (0.999, 3)])
def test_wilsons_interval_never_leaves_0_and_1(p, n):
    low, high = wilson(p, n)
    assert 0 <= low <= p <= high + 1e-12
    assert high <= 1


def test_the_summary_of_a_share_stays_within_0_and_1_and_that_of_a_number_need_not():
    runs = pd.DataFrame({"arm": "a", "n": 1, "rep": range(5), "status": "ok"})
    runs = runs.assign(accuracy=HIGH, nll=HIGH)
    summary = Summary(means=["accuracy", "nll"], proportions=[])
    share, number = summarise(runs, ["n"], summary, ["accuracy"])
    assert share["high"] < 1 < number["high"]
    assert (share["value"], share["sd"]) == (number["value"], number["sd"])


def test_every_accuracy_of_the_studies_is_a_share():
    for metrics in (GPCM, LORA, TEP):
        named = {name: kind for name, kind in metrics.items() if name.endswith("accuracy")}
        assert len(named) >= 2
        assert set(named.values()) == {"share"}
