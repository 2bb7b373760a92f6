"""Two rules on the same test samples with the same new seeds: is one better (spec 6.2.7)?"""

import numpy as np
import pandas as pd
from scipy import stats

from scripts.lib.comparison import NO_DIFFERENCE, NOT_COMPARABLE
from scripts.lib.seeds import numpy_rng
from scripts.tep_bp.search.comparable import refusal

BLOCK = 2**22  # resampled test samples held at a time
EXACT = 2**13  # sign patterns: up to 13 seeds all of them are counted


def compare(
    results: pd.DataFrame,
    first: str,
    second: str,
    repeats: int,
    seed: int,
    confidence: float = 0.95,
    draws: int = 10_000,
) -> dict:
    """The difference in test accuracy, first - second, of re-evaluated configurations.

    `results` has a row per rule and repeat (0 to repeats - 1): rule, repeat, status, hits (T,) of
    0 and 1. Repeat r of both rules has the same seed. Keys: verdict ("higher", "lower", "no
    difference found" or "not comparable"), reason, difference, low, high (hierarchical bootstrap of
    seeds and test samples), p (Wilcoxon signed-rank over seeds), effect (rank-biserial
    correlation, -1 to 1), seeds, samples. A missing or failed repeat is not comparable. Random:
    the samples, by the stream (seed, "tep_bp", "pairs").
    """
    results = results[results["rule"].isin((first, second))]
    reason = refusal(results, (first, second), range(repeats), "repeat", "hits")
    if not reason and results["hits"].map(len).nunique() > 1:
        reason = "the numbers of test samples differ"
    if reason:
        return {"verdict": NOT_COMPARABLE, "reason": reason}
    gained = _hits(results, first) - _hits(results, second)
    low, high = bootstrap(gained, draws, confidence, numpy_rng(seed, "tep_bp", "pairs"))
    # Sums of whole numbers: equal accuracies are ties, not rounding errors.
    p, effect = signed_rank(gained.sum(axis=1))
    verdict = "higher" if low > 0 else "lower" if high < 0 else NO_DIFFERENCE
    found = {"verdict": verdict, "reason": "", "difference": float(gained.mean())}
    found |= {"low": low, "high": high, "p": p, "effect": effect}
    return found | {"seeds": gained.shape[0], "samples": gained.shape[1]}


def bootstrap(
    gained: np.ndarray, draws: int, confidence: float, rng: np.random.Generator
) -> tuple[float, float]:
    """Percentile interval of the mean of `gained` (S, T), seeds and samples both resampled.

    Samples are the same for all seeds, so a resample has as many of each: S seeds and, crossed
    with them, T samples. A single seed or sample adds no spread.
    """
    seeds, samples = gained.shape
    means, size = np.empty(draws), max(1, BLOCK // samples)
    for start in range(0, draws, size):
        block = means[start : start + size]
        of_seeds = rng.multinomial(seeds, np.full(seeds, 1 / seeds), len(block))
        of_samples = rng.multinomial(samples, np.full(samples, 1 / samples), len(block))
        block[:] = ((of_seeds @ gained) * of_samples).sum(axis=1) / gained.size
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def signed_rank(differences: np.ndarray) -> tuple[float, float]:
    """Two-sided p of Wilcoxon's test, and rank-biserial correlation; (1, 0) if all are zero.

    Ties are ranked by their mean and zeros are left out; p counts all sign patterns of up to 13
    differences, and is an approximation beyond.
    """
    moved = differences[differences != 0]
    if not len(moved):
        return 1.0, 0.0
    ranks = stats.rankdata(np.abs(moved))
    effect = float((ranks * np.sign(moved)).sum() / ranks.sum())
    if len(moved) == 1:  # which either sign of it equals, and SciPy refuses
        return 1.0, effect
    few = 2 ** len(moved) <= EXACT
    method = stats.PermutationMethod(n_resamples=EXACT) if few else "asymptotic"
    return float(stats.wilcoxon(moved, method=method).pvalue), effect


def _hits(results: pd.DataFrame, rule: str) -> np.ndarray:
    rows = results[results["rule"] == rule].sort_values("repeat")
    return np.stack(rows["hits"].to_list()).astype(int)
