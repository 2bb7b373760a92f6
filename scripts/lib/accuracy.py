"""Is an arm as accurate as the reference? Both are compared with the reference in float64.

Two codes that round differently part as training amplifies rounding, on some units by orders of
magnitude more than on others, and on each processor on its own. So no fixed difference says that
they compute the same. What can be said is how far each is from that truth: an arm is as accurate
as the reference if, unit by unit, it is not farther by more than a factor (bulk), and if no unit is
farther by far more (tail). A unit that amplifies rounding has a distant reference by itself.
"""

from typing import NamedTuple

import numpy as np
from scipy import special

from scripts.lib.stats import all_of, below

CONFIDENCE = 0.95  # one-sided, of each bound of the median


class Accuracy(NamedTuple):
    """What distances of paired units say.

    `ratio`, `low` and `high`: median of the arm's distance over the reference's, with bounds.
    `outliers`: units with an arm farther by more than the factor of the tail; `reversed` ones have
    such a reference. `passed` is None where the units do not decide.
    """

    n: int
    ratio: float
    low: float
    high: float
    outliers: int
    reversed: int
    largest: float
    largest_reference: float
    passed: bool | None


def distance(found: object, truth: object) -> float:
    """Root mean square over the entries of a metric; infinite where either side has none.

    A list (a curve) has many entries, a number one. It is compared as far as the truth goes, which
    may be computed for the first steps alone. One that ends before, and an entry that is no number,
    are infinitely far.
    """
    a, b = np.atleast_1d(found).astype(float), np.atleast_1d(truth).astype(float)
    a = a[: len(b)]
    if a.shape != b.shape or not a.size:
        return np.inf
    apart = float(np.sqrt(np.mean((a - b) ** 2)))
    return apart if np.isfinite(apart) else np.inf


def bound_of_median(n: int) -> int:
    """Place, from 0, of the ordered value that bounds the median from above; n if none does.

    At most so many of n values are below the median with the confidence, whatever their
    distribution; five are needed for one bound.
    """
    return int(np.searchsorted(special.bdtr(np.arange(n), n, 0.5), CONFIDENCE))


def median_bounds(values: np.ndarray) -> tuple[float, float]:
    """Lower and upper bound of the median, each one-sided; infinite where the values are few."""
    n, ordered = len(values), np.sort(values)
    place = bound_of_median(n)
    if place >= n:
        return -np.inf, np.inf
    return float(ordered[n - 1 - place]), float(ordered[place])


def as_accurate(
    arm: np.ndarray,
    reference: np.ndarray,
    resolution: float,
    factor: float,
    tail: float,
) -> Accuracy:
    """Compare distances to the truth, (units,) each, of the arm and of the reference.

    Distances below `resolution` count as equal to it. Bulk: passes if the upper bound of the median
    ratio is below `factor`, fails if the lower bound is not. Tail: a unit is an outlier if its
    ratio is above `tail`; passes if the arm has no more of them than the reference (ratio below
    1 / `tail`), fails if one is beyond `factor` times the reference's largest distance, or if
    their excess is no chance (sign test, 5 %). Undecided in between.
    """
    arm, reference = np.asarray(arm, float), np.asarray(reference, float)
    ratios = _log_ratios(np.maximum(arm, resolution), np.maximum(reference, resolution))
    low, high = median_bounds(ratios)
    outliers, reversed_ = int((ratios > np.log(tail)).sum()), int((ratios < -np.log(tail)).sum())
    largest = max(float(arm.max(initial=0.0)), resolution)
    largest_reference = max(float(reference.max(initial=0.0)), resolution)
    bulk = below(low, high, np.log(factor))
    rest: bool | None = outliers <= reversed_
    if not rest:
        chance = special.bdtrc(outliers - 1, outliers + reversed_, 0.5)
        beyond = largest > factor * largest_reference
        rest = False if beyond or chance < 1 - CONFIDENCE else None
    ratio = np.exp(np.median(ratios)) if len(ratios) else np.nan
    return Accuracy(
        len(ratios), float(ratio), float(np.exp(low)), float(np.exp(high)),
        outliers, reversed_, largest, largest_reference, all_of(bulk, rest),
    )  # fmt: skip


def _log_ratios(arm: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """log(arm / reference) of each unit; two zeros, or two infinities, are equal."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.log(arm) - np.log(reference)
    return np.where(arm == reference, 0.0, ratios)
