"""The distribution over trials: quartiles, importances, and where in the space they do well.

Without the luck of the best one (docs/studies/tep_bp.md, Fairness).
"""

import math

import numpy as np
import pandas as pd

from scripts.lib.table_files import together
from scripts.tep_bp.plans.ranking import SCORE, scored
from scripts.tep_bp.plans.space import Space, searched
from scripts.tep_bp.specs import TablesJob

NEAR = 0.01  # accuracy: within 1 pp of the best
QUANTILES = {"best": 1.0, "median": 0.5, "lower_quartile": 0.25, "upper_quartile": 0.75}
ROUNDING = 1e-9  # exactly 1 pp below is near, whatever binary fractions say
FEWEST = 20  # trials: the best tenth is two of them
BEST = 0.1  # share of the trials that is compared with all of them
LOW_RATE = 1e-3  # below it trials commonly fail
RATES, STRENGTHS = 6, 5  # bins of lr and of beta, of equal width on the log scale
NUMBERS = [*QUANTILES, "near_best", "median_lr_below", "median_lr_above", "cpu_s", "flops"]
ROBUSTNESS = ["rule", "stage", "expected", "trials", "diverged", "failed", *NUMBERS, "reason"]
DISTRIBUTION = ["rule", SCORE, "share"]
IMPORTANCES = ["rule", "hyperparameter", "importance"]
HEAT = ["rule", "x", "x_low", "x_high", "y", "y_low", "y_high", "median", "count"]


def robustness(results: pd.DataFrame) -> pd.DataFrame:
    """A row per rule: trials, diverged, failed, best, median, lower and upper quartile, near_best.

    Trials that diverged count with their real score. `near_best` is the share of all trials, the
    failed ones included, within 1 pp of the rule's best.
    """
    rows = []
    for rule, part in results.groupby("rule", sort=False):
        scores = scored(part)[SCORE].to_numpy(float)
        row = {"rule": rule, "trials": len(part)}
        row["diverged"] = int((part["status"] == "diverged").sum())
        row["failed"] = len(part) - len(scores)
        found = np.quantile(scores, list(QUANTILES.values())) if len(scores) else [np.nan] * 4
        row |= dict(zip(QUANTILES, map(float, found), strict=True))
        row["near_best"] = float((scores >= row["best"] - NEAR - ROUNDING).sum() / len(part))
        rows.append(row)
    return pd.DataFrame(rows)


def distribution(results: pd.DataFrame) -> pd.DataFrame:
    """Empirical distribution per rule: `share` of all its trials with at most this val_accuracy.

    A failed trial counts as one below all scores.
    """
    steps = []
    for rule, part in results.groupby("rule", sort=False):
        scores, counts = np.unique(scored(part)[SCORE].to_numpy(float), return_counts=True)
        failed = len(part) - counts.sum()
        share = (failed + np.cumsum(counts)) / len(part)
        steps.append(pd.DataFrame({"rule": rule, SCORE: scores, "share": share}))
    return pd.concat(steps, ignore_index=True)


def importances(results: pd.DataFrame, space: Space, rule: str) -> dict[str, float]:
    """Importance of each hyperparameter that a rule reads, largest first; they sum to 1.

    Optuna's evaluator on the rule's trials: the same numbers as from the exported study. Empty
    for fewer than 20 scored trials, or where ties make the best tenth all of them.
    """
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    from scripts.tep_bp.plans.optuna_trials import study_of

    scores = scored(results)[SCORE].sort_values(ascending=False)
    n = len(scores)
    if n < FEWEST or scores.iloc[math.ceil(BEST * n) - 1] == scores.iloc[-1]:
        return {}
    evaluator = PedAnovaImportanceEvaluator(target_quantile=BEST)
    return get_param_importances(study_of(results, space, rule), evaluator=evaluator)


def robustness_table(
    results: pd.DataFrame, reasons: dict[str, str], spec: TablesJob
) -> pd.DataFrame:
    """Table robustness: a row per rule, with mean costs of a trial and medians by lr.

    A rule that may not be compared has its reason and the counts, and no other numbers.
    """
    rows = []
    for rule, reason in reasons.items():
        part = results[results["rule"] == rule]
        row = {"rule": rule, "stage": spec.stage, "expected": spec.trials, "reason": reason}
        row |= {"trials": 0, "diverged": 0, "failed": 0}
        if len(part):
            row |= robustness(part).iloc[0].to_dict()
        if reason:
            row |= dict.fromkeys(NUMBERS)
        else:
            below = part["lr"] < LOW_RATE
            row["median_lr_below"], row["median_lr_above"] = (
                scored(part[chosen])[SCORE].median() for chosen in (below, ~below)
            )
            row |= {cost: part[cost].mean() for cost in ("cpu_s", "flops")}
        rows.append(row)
    return together(rows, ROBUSTNESS)


def distribution_table(results: pd.DataFrame, reasons: dict[str, str]) -> pd.DataFrame:
    """Table distribution: of the rules that may be compared."""
    rows = results[results["rule"].map(reasons) == ""]
    return distribution(rows)[DISTRIBUTION] if len(rows) else together([], DISTRIBUTION)


def importance_table(results: pd.DataFrame, space: Space) -> pd.DataFrame:
    """Table importances: PED-ANOVA by rule, the largest first; no rows for too few trials."""
    rows = [
        (rule, name, value)
        for rule, part in results.groupby("rule", sort=False)
        for name, value in importances(part, space, rule).items()
    ]
    return together(rows, IMPORTANCES)


def heat_table(results: pd.DataFrame, space: Space) -> pd.DataFrame:
    """Table heat: median accuracy and number of trials by lr and hidden, and by lr and beta.

    A width is a bin of its own; the others are [low, high), the last one closed. Empty bins have
    no row.
    """
    rates = np.geomspace(*space.lr, RATES + 1)
    found = []
    for rule, part in scored(results).groupby("rule", sort=False):
        sides = {"hidden": (np.sort(space.hidden),) * 2}
        if "beta" in searched(rule):
            strengths = np.geomspace(*space.beta, STRENGTHS + 1)
            sides["beta"] = (strengths[:-1], strengths[1:])
        for y, (low, high) in sides.items():
            # A width is the lower end of its bin, so one search serves both.
            bins = {"column": _place(part["lr"], rates[:-1]), "row": _place(part[y], low)}
            cells = part.assign(**bins).groupby(["row", "column"])[SCORE].agg(["median", "size"])
            found += [
                (rule, "lr", *rates[column : column + 2], y, low[row], high[row], *values)
                for (row, column), values in zip(cells.index, cells.to_numpy(), strict=True)
            ]
    table = pd.DataFrame(found, columns=HEAT)
    return table.astype({"count": int}) if found else table


def _place(values: pd.Series, lower_ends: np.ndarray) -> np.ndarray:
    return np.clip(np.searchsorted(lower_ends, values, side="right") - 1, 0, None)
