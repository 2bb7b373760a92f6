"""As accurate as the reference: what passes, what is found, and how often by chance."""

import numpy as np
import pytest

from scripts.lib.accuracy import as_accurate, distance, median_bounds
from scripts.lib.power import POWER, needed_pairs, power_of_median

FACTOR, TAIL = 3.0, 100.0
NUMBER, LIST = needed_pairs("accurate"), needed_pairs("accurate", of_lists=True)
DEFAULT_PAIRS = 30  # trials of the default run, each a number or a short list


def judged(arm, reference, resolution=1e-8):
    return as_accurate(arm, reference, resolution, FACTOR, TAIL)


def errors(rng, units, entries=1, scale=1e-7):
    """Distances of units whose entries have independent rounding errors of this scale."""
    return np.sqrt(np.mean(rng.normal(0, scale, (units, entries)) ** 2, axis=1))


def share_passed(units, entries, bias, draws=2000, shift=0.0):
    rng = np.random.default_rng(7)
    passed = 0
    for _ in range(draws):
        arm = errors(rng, units, entries, bias * 1e-7)
        if shift:
            arm = np.abs(rng.normal(shift * 1e-7, 1e-7, units))
        passed += judged(arm, errors(rng, units, entries)).passed is True
    return passed / draws


@pytest.mark.parametrize(("units", "entries"), [(DEFAULT_PAIRS, 1), (LIST, 60)])
def test_an_arm_as_accurate_as_the_reference_is_refused_at_most_one_time_in_twenty(units, entries):
    assert share_passed(units, entries, bias=1.0) >= 0.95


@pytest.mark.parametrize(("units", "entries"), [(DEFAULT_PAIRS, 1), (LIST, 60)])
def test_an_arm_three_times_as_far_is_found_nine_times_in_ten(units, entries):
    assert share_passed(units, entries, bias=3.0) <= 0.1


def test_a_bias_of_two_roundings_is_found():
    """Each entry is off by twice the rounding error in one direction, as by a wrong constant."""
    assert share_passed(DEFAULT_PAIRS, 1, 1.0, shift=3.0) <= 0.1
    rng = np.random.default_rng(1)
    reference = errors(rng, LIST, 60)
    arm = np.sqrt(np.mean(rng.normal(3e-7, 1e-7, (LIST, 60)) ** 2, axis=1))
    assert judged(arm, reference).passed is not True


@pytest.mark.parametrize("of_lists", [False, True])
def test_the_number_of_pairs_gives_the_stated_power(of_lists):
    n = needed_pairs("accurate", of_lists=of_lists)
    within = 0.98 if of_lists else 2 / np.pi * np.arctan(FACTOR)
    assert power_of_median(n, within) >= POWER > power_of_median(n - 1, within)
    if not of_lists:
        assert share_passed(n, 1, 1.0) == pytest.approx(power_of_median(n, within), abs=0.03)


def test_chaotic_units_which_amplify_rounding_do_not_count_against_the_arm():
    rng = np.random.default_rng(2)
    amplified = np.where(np.arange(30) % 5 == 0, 10.0 ** rng.uniform(3, 6, 30), 1.0)
    sides = [errors(rng, 30, 3) * amplified for _ in range(2)]
    assert judged(*sides).passed
    assert max(side.max() for side in sides) > 1e-3


def test_one_bad_unit_among_many_fails_the_arm():
    rng = np.random.default_rng(4)
    arm, reference = errors(rng, 30, 3), errors(rng, 30, 3)
    assert judged(arm, reference).passed
    arm[17] = 1e-3
    found = judged(arm, reference)
    assert found.passed is False
    assert (found.outliers, found.reversed) == (1, 0)
    # The reference's own bad unit is not the arm's fault.
    assert judged(reference, arm).passed


def test_an_outlier_within_the_reference_s_own_class_decides_nothing_by_itself():
    rng = np.random.default_rng(5)
    arm, reference = errors(rng, 30, 3), errors(rng, 30, 3)
    reference[3] = arm[3] = 1e-3
    arm[17] = 1e-4
    assert judged(arm, reference).passed is None
    arm[[5, 8, 21, 25]] = 1e-4
    assert judged(arm, reference).passed is False


def test_at_resolution_zero_equal_distances_are_ties_and_any_distance_beside_none_is_infinite():
    zero = np.zeros(6)
    tied = judged(zero, zero, resolution=0.0)
    assert tied.passed
    assert tied.ratio == 1
    assert judged(zero + 1e-12, zero, resolution=0.0).passed is False
    assert judged(zero, zero + 1e-12, resolution=0.0).passed


def test_distances_below_the_resolution_count_as_equal():
    apart = np.full(6, 1e-9)
    assert judged(apart, apart / 1000, resolution=1e-9).passed
    assert judged(apart, apart / 1000, resolution=1e-12).passed is False


def test_too_few_units_decide_nothing():
    assert judged(np.full(4, 1e-7), np.full(4, 1e-7)).passed is None
    assert judged(np.empty(0), np.empty(0)).passed is None


def test_the_bounds_of_the_median_hold_for_any_distribution():
    rng = np.random.default_rng(6)
    for draw in (rng.standard_normal, rng.standard_cauchy, lambda n: rng.exponential(1, n)):
        centre = np.median(draw(10**6))
        bounds = [median_bounds(draw(12)) for _ in range(2000)]
        assert np.mean([low <= centre for low, _ in bounds]) >= 0.94
        assert np.mean([high >= centre for _, high in bounds]) >= 0.94


def test_a_curve_that_ends_before_the_truth_or_has_no_number_is_infinitely_far():
    assert distance([1.0, 2.0], [1.0, 4.0]) == pytest.approx(np.sqrt(2))
    assert distance(3.0, 1.0) == 2
    for found in ([1.0], [], [1.0, np.nan], [1.0, np.inf]):
        assert distance(found, [1.0, 2.0]) == np.inf
    # The truth may be computed for the first steps alone.
    assert distance([1.0, 2.0, 9.0], [1.0, 4.0]) == distance([1.0, 2.0], [1.0, 4.0])
    assert distance([1.0], []) == np.inf
