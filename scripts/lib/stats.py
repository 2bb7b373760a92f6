"""Estimates with their Monte Carlo standard errors, and the tests that agreement rests on.

`scipy.stats` is imported where it is called: it takes half a second that most jobs need not pay.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy import special


class Estimate(NamedTuple):
    """A value with its Monte Carlo standard error and interval; `n` observations."""

    value: float
    mcse: float
    low: float
    high: float
    n: int


def mean(values: np.ndarray, confidence: float = 0.95) -> Estimate:
    """Mean with MCSE s / sqrt(n) and a normal interval; NaN error and interval for n = 1."""
    values = np.asarray(values, float)
    n = len(values)
    mcse = float(values.std(ddof=1) / math.sqrt(n)) if n > 1 else math.nan
    reach = float(special.ndtri(0.5 + confidence / 2)) * mcse
    centre = float(values.mean()) if n else math.nan
    return Estimate(centre, mcse, centre - reach, centre + reach, n)


def proportion(successes: int, n: int, confidence: float = 0.95) -> Estimate:
    """Share with MCSE sqrt(p(1-p)/n) and Wilson's interval, which stays honest at 0 and 1."""
    from scipy import stats

    p = successes / n
    interval = stats.binomtest(successes, n).proportion_ci(confidence, method="wilson")
    return Estimate(p, math.sqrt(p * (1 - p) / n), interval.low, interval.high, n)


def paired_interval(differences: np.ndarray, confidence: float = 0.90) -> Estimate:
    """Mean paired difference with Student's interval.

    The 90 % interval inside (-margin, margin) is the two one-sided tests (TOST) at 5 %; its
    upper end below the margin is one-sided non-inferiority at 5 %.
    """
    found = mean(differences)
    reach = float(special.stdtrit(found.n - 1, 0.5 + confidence / 2)) * found.mcse
    return found._replace(low=found.value - reach, high=found.value + reach)


def trimmed_interval(
    differences: np.ndarray, confidence: float = 0.95, share: float = 0.1, draws: int = 10_000
) -> Estimate:
    """Mean without the `share` largest and the `share` smallest, with a bootstrap interval.

    For differences with heavy tails. The resampling is seeded by a constant. NaN for n < 2.
    """
    differences = np.asarray(differences, float)
    n = len(differences)
    if n < 2:
        return Estimate(math.nan, math.nan, math.nan, math.nan, n)
    from scipy import stats

    samples = differences[np.random.default_rng(0).integers(0, n, (draws, n))]
    means = stats.trim_mean(samples, share, axis=1)
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    value = float(stats.trim_mean(differences, share))
    return Estimate(value, float(means.std()), float(low), float(high), n)


def ratio_of_medians(
    slower: np.ndarray, faster: np.ndarray, confidence: float = 0.95, draws: int = 10_000
) -> Estimate:
    """median(slower) / median(faster) of paired rounds, with a bootstrap interval over rounds.

    Rounds are resampled jointly, so drift that hits both sides of a round cancels. The
    resampling is seeded by a constant: the same measurements give the same interval.
    """
    slower, faster = np.asarray(slower, float), np.asarray(faster, float)
    n = len(slower)
    rounds = np.random.default_rng(0).integers(0, n, (draws, n))
    ratios = np.median(slower[rounds], axis=1) / np.median(faster[rounds], axis=1)
    tail = (1 - confidence) / 2
    low, high = np.quantile(ratios, [tail, 1 - tail])
    value = float(np.median(slower) / np.median(faster))
    return Estimate(value, float(ratios.std()), float(low), float(high), n)
