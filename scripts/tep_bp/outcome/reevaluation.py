"""Re-evaluation: chosen configurations with new seeds, their test accuracy, and rules in pairs.

Two rules are compared on the same test samples with the same new seeds (docs/studies/tep_bp.md,
Re-evaluation and Statistics).
"""

from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from scripts.lib.comparison import NOT_COMPARABLE
from scripts.lib.seeds import numpy_rng
from scripts.lib.stats import mean_share, passes
from scripts.lib.table_files import together
from scripts.tep_bp.outcome.row_selection import refusal
from scripts.tep_bp.plans.ranking import SCORE, SHRUNKEN, choices, chosen, scored
from scripts.tep_bp.plans.space import DIMENSIONS
from scripts.tep_bp.specs import STUDY, Row, TablesJob

BLOCK = 2**22  # resampled test samples held at a time
EXACT = 2**13  # sign patterns: up to 13 seeds all of them are counted
DRAWS = 500  # of the validation samples by which is chosen
EQUAL, UNDECIDED = "equal", "undecided"
REPEATS = ["rule", "rank", "chosen", *DIMENSIONS, SCORE, SHRUNKEN, "test_accuracy", "low", "high",
           "n", "diverged", "reason"]  # fmt: skip
PAIRS = ["scope", "rounding", "first", "second", "verdict", "survives", "difference", "low", "high",
         "margin", "p", "effect", "seeds", "samples", "configurations", "reason"]  # fmt: skip
CHOICE = ["rule", "chosen", SHRUNKEN, "stays", "overlap", "top", "others", "draws"]
MEANS = ("difference", "low", "high")


def repeats(again: pd.DataFrame, results: pd.DataFrame, spec: TablesJob) -> pd.DataFrame:
    """Mean test accuracy over new seeds with its 95 % interval (`mean_share`), by rule and rank.

    `shrunken_accuracy` is what the configuration was chosen by. A configuration that lacks a
    repeat has the reason instead of a mean.
    """
    last = results.set_index(["rule", "trial"])[SCORE]
    parts = [part.assign(rule=rule) for rule, part in best_by_rule(results, spec).items()]
    by = pd.concat(parts).set_index(["rule", "trial"])[SHRUNKEN] if parts else {}
    rows = []
    for (rule, _), part in again.groupby(["rule", "rank"], sort=False):
        reason = refusal(part, [rule], range(spec.repeats), "repeat", "test_accuracy")
        row = part.iloc[0][["rule", "rank", "chosen", *DIMENSIONS]].to_dict()
        unit = rule, row["chosen"]
        row |= {SCORE: last.get(unit), SHRUNKEN: by.get(unit), "reason": reason, "n": len(part)}
        row["diverged"] = int((part["status"] == "diverged").sum())
        if not reason:
            found = mean_share(part["test_accuracy"], student=True)
            row |= {"test_accuracy": found.value, "low": found.low, "high": found.high}
        rows.append(row)
    return together(rows, REPEATS)


def best_by_rule(results: pd.DataFrame, spec: TablesJob) -> dict[str, pd.DataFrame]:
    """The chosen trials of each rule that has any, best first."""
    groups = results.groupby("rule", sort=False)
    found = {rule: chosen(part, spec.top, spec.space, rule) for rule, part in groups}
    return {rule: best for rule, best in found.items() if len(best)}


def choice(results: pd.DataFrame, spec: TablesJob) -> pd.DataFrame:
    """How often other validation samples would have chosen other trials, by rule.

    `stays`: share of draws in which the first one is the same; `overlap`: mean number of the `top`
    that are; `others`: how many trials are ever first. Random: the samples of a draw, by the
    stream (seed, "tep_bp", "choice", rule).
    """
    rows = []
    for rule, best in best_by_rule(results, spec).items() if spec.top else ():
        part, rng = results[results["rule"] == rule], numpy_rng(spec.seed, STUDY, "choice", rule)
        drawn = choices(part, len(best), spec.space, rule, DRAWS, rng)
        own = best["trial"].to_numpy()
        row = {"rule": rule, "chosen": own[0], SHRUNKEN: best[SHRUNKEN].iloc[0]}
        row |= {"stays": float((drawn[:, 0] == own[0]).mean()), "top": len(best), "draws": DRAWS}
        row |= {"overlap": float(np.isin(drawn, own).sum(axis=1).mean())}
        rows.append(row | {"others": len(set(drawn[:, 0]) - {own[0]})})
    return together(rows, CHOICE)


def pairs(again: list[pd.DataFrame], reasons: dict[str, str], spec: TablesJob) -> pd.DataFrame:
    """Every two rules: the mean of the `top` configurations, and the first of them.

    Scopes "top", which is the headline where there are several, and "chosen"; for each rounding of
    `again`, and `survives`: whether all of them have its verdict. A rule whose search may not be
    compared (`reasons`) chose among other trials, so its configurations may not be compared either.
    Random: see `compare`.
    """
    rows = [
        {"rounding": rounding, **row}
        for rounding, part in enumerate(again)
        for row in _pairs(part, reasons, spec)
    ]
    table = together(rows, PAIRS)
    if len(again) > 1 and len(table):
        verdicts = table.groupby(["scope", "first", "second"])["verdict"]
        table["survives"] = verdicts.transform("nunique") == 1
    return table


def _pairs(again: pd.DataFrame, reasons: dict[str, str], spec: TablesJob) -> list[Row]:
    top = min(spec.top, spec.trials)
    scopes = {"top": (summed(again, top), top)} if top > 1 else {}
    scopes["chosen"] = again[again["rank"] == 0], 1
    rows = []
    for scope, (part, size) in scopes.items():
        for first, second in combinations(spec.rules, 2):
            found = {"verdict": NOT_COMPARABLE, "reason": reasons[first] or reasons[second]}
            if not found["reason"]:
                margin = spec.margin * size
                found = compare(part, first, second, spec.repeats, spec.seed, margin)
            found |= {name: found[name] / size for name in MEANS if name in found}
            pair = {"scope": scope, "first": first, "second": second, "configurations": size}
            rows.append(pair | {"margin": spec.margin} | found)
    return rows


def summed(again: pd.DataFrame, top: int) -> pd.DataFrame:
    """By rule and repeat the hits of each sample, summed over ranks 0 to top - 1.

    All configurations share the test samples: a sum keeps a sample one sample, where a row per
    configuration would count it `top` times. A repeat that lacks a rank or hits has no row.
    """
    rows = []
    for (rule, repeat), part in again.groupby(["rule", "repeat"], sort=False):
        part = scored(part, "hits")
        if sorted(part["rank"]) == list(range(top)) and part["hits"].map(len).nunique() == 1:
            hits = np.stack(part["hits"].to_list()).sum(axis=0)
            rows.append({"rule": rule, "repeat": repeat, "status": "ok", "hits": hits})
    return together(rows, ["rule", "repeat", "status", "hits"])


def compare(
    results: pd.DataFrame,
    first: str,
    second: str,
    repeats: int,
    seed: int,
    margin: float,
    confidence: float = 0.9,
    draws: int = 10_000,
) -> Row:
    """The difference in test accuracy, first - second, of re-evaluated configurations.

    `results` has a row per rule and repeat (0 to repeats - 1): rule, repeat, status, hits (T,) of
    0 and 1. Repeat r of both rules has the same seed. Keys: verdict ("equal" if the interval lies
    within the margin, "higher" or "lower" if it lies beyond, else "undecided"; or "not
    comparable"), reason, difference, low, high (hierarchical bootstrap of seeds and test samples,
    90 %: two one-sided tests), p (Wilcoxon signed-rank over seeds), effect (rank-biserial
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
    within = passes(low, high, -margin, margin)
    beyond = "higher" if low > 0 else "lower"
    verdict = {True: EQUAL, False: beyond, None: UNDECIDED}[within]
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
