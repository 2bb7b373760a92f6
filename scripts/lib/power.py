"""How many pairs a test of agreement needs, so that it is likely to pass where it should."""

from functools import cache

import numpy as np
from scipy import special

from scripts.lib.accuracy import bound_of_median
from scripts.lib.sections import RELATIVE

POWER = 0.9
# Planned for differences with mean 0 and this standard deviation, in units of the margin.
SPREAD = 0.5
LEVEL = 0.95  # of each of the one-sided tests
ENOUGH = 2  # for a test that every pair decides by itself: one pair may be an accident
MOST = 1000


# `accurate`: planned share of units whose ratio of distances is below the factor. Of a number it is
# that of two independent normal errors, 2 / pi * arctan(factor); a list averages over its entries.
WITHIN_LIST = 0.98


@cache
def needed_pairs(test: str, *, of_lists: bool = False, factor: float = 3.0) -> int:
    """Pairs that give a test of means or medians the power; 2 for others, which none decides."""
    if test == "accurate":
        within = WITHIN_LIST if of_lists else 2 / np.pi * np.arctan(factor)
        return next(n for n in range(2, MOST) if power_of_median(n, within) >= POWER)
    if test not in RELATIVE:
        return ENOUGH
    two_sided = test == "equivalent"
    return next(n for n in range(2, MOST) if power(n, two_sided) >= POWER)


def power_of_median(pairs: int, within: float) -> float:
    """Probability that the upper bound of the median is below what `within` of the values are."""
    needed = bound_of_median(pairs) + 1
    return float(special.bdtrc(needed - 1, pairs, within)) if needed <= pairs else 0.0


def power(pairs: int, two_sided: bool, spread: float = SPREAD) -> float:
    """Probability that the interval of the mean difference keeps inside the margin.

    The mean is N(0, spread^2 / pairs), the estimated variance independent of it and chi-squared
    with pairs - 1 degrees (Student's t); integrated over the latter's quantiles.
    """
    levels = (np.arange(20_000) + 0.5) / 20_000
    estimated = spread * np.sqrt(2 * special.gammaincinv((pairs - 1) / 2, levels) / (pairs - 1))
    half_width = special.stdtrit(pairs - 1, LEVEL) * estimated / np.sqrt(pairs)
    below = special.ndtr((1 - half_width) * np.sqrt(pairs) / spread)
    passes = np.maximum(2 * below - 1, 0) if two_sided else below
    return float(passes.mean())
