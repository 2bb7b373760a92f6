"""How sure an accuracy on finitely many test rows is, and the difference of two of them."""

import math

import numpy as np
from scipy import stats

from scripts.lib.stats import mean

BLOCK = 2**22  # resampled rows held at a time: 32 MB as float64


def wilson(share: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's interval of a share of `n` rows; n * share need not be a whole number.

    For the mean accuracy of several runs it is that of one run with this accuracy, so it is too
    wide rather than too narrow.
    """
    z = stats.norm.ppf(0.5 + confidence / 2)
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    reach = z * math.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2) / (1 + z * z / n)
    return max(0.0, float(centre - reach)), min(1.0, float(centre + reach))


def resampled_means(hits: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Column means over bootstrap samples of the rows: [rows, columns] -> [draws, columns].

    One sample serves all columns, so differences of columns are paired. `hits` are whole numbers:
    their sums are exact, so no column depends on which others there are. NaN for a single row,
    which says nothing about its own spread. Random: the samples, from `rng`.
    """
    n, columns = hits.shape
    if n < 2:
        return np.full((draws, columns), np.nan)
    means, size = np.empty((draws, columns)), max(1, BLOCK // n)
    for start in range(0, draws, size):
        block = means[start : start + size]
        rows = rng.integers(0, n, (len(block), n)) + n * np.arange(len(block))[:, None]
        times = np.bincount(rows.ravel(), minlength=rows.size).reshape(rows.shape)
        block[:] = times.astype(float) @ hits / n
    return means


def percentiles(resampled: np.ndarray, confidence: float) -> tuple[float, float]:
    """Percentile interval of resampled values [draws]."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return float(low), float(high)


def paired_p(differences: np.ndarray) -> float:
    """Two-sided p of Student's paired test that the mean difference over rows is zero.

    With one run per cell a row's difference is -1, 0 or 1 and the test is close to McNemar's.
    NaN for fewer than two rows.
    """
    found = mean(differences)
    if found.n < 2:
        return math.nan
    if found.mcse == 0:
        return float(found.value == 0)
    return float(2 * stats.t.sf(abs(found.value) / found.mcse, found.n - 1))


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's step-down adjusted p-values of one family; a NaN stays one and is not counted."""
    p = np.asarray(p, float)
    adjusted, known = p.copy(), np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(steps))
    return adjusted
