"""The metrics against their definitions in loops and SciPy, the laws against their closed forms."""

import math
import warnings
from fractions import Fraction

import numpy as np
import pytest
from scipy import stats

from scripts.engression.laws import LAWS
from scripts.engression.metrics import (
    QUANTILES,
    against_truth,
    energy_distance,
    in_sample,
    ks_two_sample,
    mean_abs_difference_between,
    mean_abs_difference_within,
    mmd2_unbiased,
)
from scripts.engression.settings import Evaluation
from scripts.lib.seeds import numpy_rng

OPTIONS = Evaluation(mmd_gamma=1.0, ks_alpha=0.05, test_draws=500)
# Mean, variance; and the kurtosis E(X - mu)^4 / var^2, for the error of the variance.
MOMENTS = {
    "normal": (0, 1, 3),
    "exponential": (1, 1, 9),
    "uniform": (1, 1 / 3, 9 / 5),
    "lognormal": (
        math.exp(0.5),
        (math.e - 1) * math.e,
        math.exp(4) + 2 * math.exp(3) + 3 * math.exp(2) - 3,
    ),
    "chisquare": (5, 10, 3 + 12 / 5),
}
FROZEN = {
    "normal": stats.norm(0, 1),
    "exponential": stats.expon(scale=1),
    "uniform": stats.uniform(0, 2),
    "lognormal": stats.lognorm(s=1),
    "chisquare": stats.chi2(df=5),
}
EVERY_LAW = pytest.mark.parametrize("law", LAWS)


def z_score(values, truth=0.0):
    """Distance of the mean from the truth in Monte Carlo standard errors."""
    values = np.asarray(values, dtype=float)
    return (values.mean() - truth) / (values.std(ddof=1) / math.sqrt(len(values)))


def two_samples(n, m, seed=0):
    rng = numpy_rng(seed, "metrics", n, m)
    return rng.normal(0, 1, n), rng.exponential(1, m)


@pytest.mark.parametrize("gamma", [0.2, 1.0, 5.0])
@pytest.mark.parametrize(("n", "m"), [(2, 2), (7, 4), (30, 30)])
def test_mmd_is_the_double_sum_without_the_diagonals(n, m, gamma):
    def mean_kernel(a, b, same):
        terms = [
            math.exp(-gamma * (a[i] - b[j]) ** 2)
            for i in range(len(a))
            for j in range(len(b))
            if not (same and i == j)
        ]
        return math.fsum(terms) / len(terms)

    x, y = two_samples(n, m)
    expected = mean_kernel(x, x, True) + mean_kernel(y, y, True) - 2 * mean_kernel(x, y, False)
    assert mmd2_unbiased(x, y, gamma) == pytest.approx(expected, rel=1e-10, abs=1e-14)


@pytest.mark.parametrize(("n", "m"), [(2, 2), (7, 4), (4, 7), (30, 30)])
def test_energy_distance_is_the_double_sum_without_the_diagonals(n, m):
    x, y = two_samples(n, m)
    between = np.mean([abs(a - b) for a in x for b in y])
    within_x = sum(abs(a - b) for a in x for b in x) / (n * (n - 1))
    within_y = sum(abs(a - b) for a in y for b in y) / (m * (m - 1))
    x, y = np.sort(x), np.sort(y)
    assert mean_abs_difference_between(x, y) == pytest.approx(between, rel=1e-12)
    assert mean_abs_difference_within(x) == pytest.approx(within_x, rel=1e-12)
    expected = 2 * between - within_x - within_y
    assert energy_distance(x, y) == pytest.approx(expected, rel=1e-10)
    assert energy_distance(y, x) == pytest.approx(expected, rel=1e-10)


def test_energy_distance_counts_ties_as_zero():
    x = np.array([0.0, 1.0, 1.0, 2.0])
    y = np.array([1.0, 1.0, 1.0])
    assert mean_abs_difference_between(x, y) == pytest.approx(0.5, rel=1e-15)
    assert energy_distance(x, y) == pytest.approx(2 * 0.5 - 1.0, abs=1e-15)


def scipys_ks(x, y):
    """(statistic, exact p-value) by SciPy.

    Where rounding lifts its exact p above 1, SciPy warns and returns an approximation: p is 1.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        try:
            return tuple(stats.ks_2samp(x, y, method="exact"))
        except RuntimeWarning:
            warnings.simplefilter("ignore")
            statistic, near_one = stats.ks_2samp(x, y, method="exact")
            assert near_one > 0.99
            return statistic, 1.0


@pytest.mark.parametrize(("n", "repeats"), [(5, 200), (100, 100), (500, 20)])
def test_the_ks_test_is_scipys_exact_one(n, repeats):
    p_values = set()
    for repeat in range(repeats):
        rng = numpy_rng(42, "ks", n, repeat)
        # Shifts up to 4 standard errors of a mean difference: p from 1 down to about 1e-5.
        shift = (repeat % 5) * math.sqrt(2 / n)
        x, y = rng.normal(0, 1, n), rng.normal(shift, 1, n)
        found = ks_two_sample(x, y)
        assert found == pytest.approx(scipys_ks(x, y), rel=1e-9)
        p_values.add(found[1])
    assert min(p_values) < 0.02
    assert max(p_values) > 0.8


@pytest.mark.parametrize("n", [5, 100, 500])
def test_the_ks_test_of_equal_and_of_disjoint_samples_is_scipys_too(n):
    x = np.arange(n, dtype=float)
    for y in (x, x[::-1], x + 0.5, x + n):
        assert ks_two_sample(x, y) == pytest.approx(scipys_ks(x, y), rel=1e-9)
    assert ks_two_sample(x, x) == (0.0, 1.0)
    assert ks_two_sample(x, x + n)[1] == pytest.approx(2 / math.comb(2 * n, n), rel=1e-9)


def test_the_ks_test_handles_ties_as_scipy_does():
    rng = numpy_rng(42, "ks ties")
    for _ in range(50):
        x, y = rng.integers(0, 6, 40).astype(float), rng.integers(0, 6, 40).astype(float)
        assert ks_two_sample(x, y) == pytest.approx(scipys_ks(x, y), rel=1e-9)


@pytest.mark.parametrize("n", [1, 5, 40])
def test_the_ks_p_value_is_the_share_of_lattice_paths_that_stray_as_far(n):
    # Two samples in joint order are a path of n steps up and n down, all equally likely.
    for h in range(1, n + 1):
        inside = {0: 1}  # paths so far by height, all within |height| < h
        for _ in range(2 * n):
            inside = {
                height: inside.get(height - 1, 0) + inside.get(height + 1, 0)
                for height in range(1 - h, h)
            }
        p = 1 - Fraction(inside.get(0, 0), math.comb(2 * n, n))
        x = np.arange(n, dtype=float)
        statistic, found = ks_two_sample(x, np.sort(np.concatenate([x[h:], n + np.arange(h)])))
        assert statistic == h / n
        assert found == pytest.approx(float(p), rel=1e-9)


def test_the_ks_test_refuses_unequal_sizes():
    with pytest.raises(ValueError, match="3 and 4"):
        ks_two_sample(np.zeros(3), np.zeros(4))


def test_in_sample_metrics_are_those_of_the_definitions():
    x, y = two_samples(80, 80)
    found = in_sample(x, y, OPTIONS)
    assert found["mmd2_u"] == mmd2_unbiased(x, y, 1.0) > 0
    assert found["mmd"] == pytest.approx(math.sqrt(found["mmd2_u"]), rel=1e-15)
    assert (found["ks"], found["ks_p"]) == ks_two_sample(x, y)
    assert found["mean_distance"] == pytest.approx(abs(np.mean(x) - np.mean(y)), rel=1e-15)
    spread = abs(np.var(x, ddof=1) - np.var(y, ddof=1))
    assert found["cov_frobenius"] == found["cov_trace"] == pytest.approx(spread, rel=1e-15)


def test_a_negative_squared_mmd_is_kept_and_its_root_is_zero():
    found = [
        in_sample(*np.split(numpy_rng(seed, "mmd").normal(0, 1, 60), 2), OPTIONS)
        for seed in range(20)
    ]
    negative = [row for row in found if row["mmd2_u"] < 0]
    assert len(negative) > 5
    assert all(row["mmd"] == 0 for row in negative)


def test_rejection_is_a_p_value_below_the_level():
    x, y = two_samples(80, 80)
    p = ks_two_sample(x, y)[1]
    for level, rejected in ((0.99 * p, 0.0), (p, 0.0), (1.01 * p, 1.0)):
        options = OPTIONS.model_copy(update={"ks_alpha": level})
        assert in_sample(x, y, options)["ks_reject"] == rejected


@pytest.mark.parametrize("shift", [-2.0, 0.0, 0.3, 5.0])
def test_a_shift_is_its_wasserstein_distance_and_every_quantile_error(shift):
    truth = numpy_rng(42, "shift").exponential(1, 501)
    found = against_truth(truth, (truth + shift)[::-1])
    assert found["w1_test"] == pytest.approx(abs(shift), abs=1e-12)
    errors = [found[f"q{name}_error"] for name in ("01", "05", "50", "95", "99")]
    assert len(errors) == len(QUANTILES)
    assert errors == pytest.approx([shift] * 5, abs=1e-12)


def test_wasserstein_distance_is_scipys():
    x, y = two_samples(300, 300)
    expected = stats.wasserstein_distance(x, y)
    assert against_truth(x, y)["w1_test"] == pytest.approx(expected, rel=1e-12)


def test_excess_loss_is_half_of_the_energy_distance():
    truth, y = two_samples(400, 400)
    found = against_truth(truth, y)
    assert found["energy_dist_test"] == energy_distance(np.sort(truth), np.sort(y))
    assert found["excess_loss"] == found["energy_dist_test"] / 2


@EVERY_LAW
def test_the_mean_excess_loss_of_the_law_itself_is_zero(law):
    rng = numpy_rng(42, "itself", law)
    found = [against_truth(LAWS[law].draw(rng, 200), LAWS[law].draw(rng, 200)) for _ in range(400)]
    assert abs(z_score([row["excess_loss"] for row in found])) < 4
    assert abs(z_score([row["q50_error"] for row in found])) < 4
    assert min(row["excess_loss"] for row in found) < 0


@pytest.mark.parametrize(("mean", "sd"), [(0.5, 1.0), (0.0, 1.5), (-0.3, 0.7)])
def test_the_mean_excess_loss_of_another_normal_law_is_its_closed_form(mean, sd):
    # L(g) - L* = E|X - Y| - E|Y - Y'| / 2 - E|X - X'| / 2, X ~ N(0, 1), Y ~ N(mean, sd^2);
    # |X - Y| is folded normal with variance 1 + sd^2.
    spread = math.sqrt(1 + sd**2)
    distance = spread * math.sqrt(2 / math.pi) * math.exp(-((mean / spread) ** 2) / 2)
    distance += mean * math.erf(mean / spread / math.sqrt(2))
    expected = distance - (1 + sd) / math.sqrt(math.pi)
    rng = numpy_rng(42, "other", repr(mean), repr(sd))
    found = [
        against_truth(rng.normal(0, 1, 200), rng.normal(mean, sd, 200))["excess_loss"]
        for _ in range(400)
    ]
    assert abs(z_score(found, expected)) < 4


@EVERY_LAW
def test_the_gini_difference_is_that_of_simulated_pairs(law):
    rng = numpy_rng(42, "gini", law)
    pairs = LAWS[law].draw(rng, 2_000_000).reshape(2, -1)
    assert abs(z_score(np.abs(pairs[0] - pairs[1]), LAWS[law].gini)) < 4


@EVERY_LAW
def test_mean_and_variance_are_those_of_the_design(law):
    mean, variance, kurtosis = MOMENTS[law]
    count = 1_000_000
    x = LAWS[law].draw(numpy_rng(42, "moments", law), count)
    assert abs(x.mean() - mean) < 4 * math.sqrt(variance / count)
    # Var(s^2) is about (kurtosis - 1) var^2 / count
    assert abs(x.var(ddof=1) - variance) < 4 * variance * math.sqrt((kurtosis - 1) / count)


@EVERY_LAW
def test_draws_follow_the_distribution_function_of_the_law(law):
    x = LAWS[law].draw(numpy_rng(42, "distribution", law), 20_000)
    assert x.shape == (20_000,)
    assert stats.kstest(x, FROZEN[law].cdf).pvalue > 1e-4


def test_the_laws_are_those_of_the_design():
    assert list(LAWS) == list(MOMENTS)
