"""Trials without a lucky choice: spread, importances, and where in the space they do well."""

import numpy as np
import pandas as pd

from scripts.tep_bp.outcome.rows import together
from scripts.tep_bp.search.importance import importances
from scripts.tep_bp.search.ranking import SCORE, scored
from scripts.tep_bp.search.robustness import QUANTILES, distribution, robustness
from scripts.tep_bp.search.space import searched

LOW_RATE = 1e-3  # spec 7.6: below it trials commonly fail
RATES, STRENGTHS = 6, 5  # bins of lr and of beta, of equal width on the log scale
NUMBERS = [*QUANTILES, "near_best", "median_lr_below", "median_lr_above", "cpu_s", "flops"]
ROBUSTNESS = ["rule", "stage", "expected", "trials", "diverged", "failed", *NUMBERS, "reason"]
DISTRIBUTION = ["rule", SCORE, "share"]
IMPORTANCES = ["rule", "hyperparameter", "importance"]
HEAT = ["rule", "x", "x_low", "x_high", "y", "y_low", "y_high", "median", "count"]


def spread(results: pd.DataFrame, reasons: dict[str, str], spec: dict) -> pd.DataFrame:
    """Table robustness: a row per rule, with mean costs of a trial and medians by lr (spec 6.2.8).

    A rule that may not be compared has its reason and the counts, and no other numbers.
    """
    rows = []
    for rule, reason in reasons.items():
        part = results[results["rule"] == rule]
        row = {"rule": rule, "stage": spec["stage"], "expected": spec["trials"], "reason": reason}
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


def shares(results: pd.DataFrame, reasons: dict[str, str]) -> pd.DataFrame:
    """Table distribution: of the rules that may be compared."""
    rows = results[results["rule"].map(reasons) == ""]
    return distribution(rows)[DISTRIBUTION] if len(rows) else together([], DISTRIBUTION)


def what_matters(results: pd.DataFrame, space: dict) -> pd.DataFrame:
    """Table importances: PED-ANOVA by rule, the largest first; no rows for too few trials."""
    rows = [
        (rule, name, value)
        for rule, part in results.groupby("rule", sort=False)
        for name, value in importances(part, space, rule).items()
    ]
    return together(rows, IMPORTANCES)


def heat(results: pd.DataFrame, space: dict) -> pd.DataFrame:
    """Table heat: median accuracy and number of trials by lr and hidden, and by lr and beta.

    A width is a bin of its own; the others are [low, high), the last one closed. Empty bins have
    no row.
    """
    rates = np.geomspace(*space["lr"], RATES + 1)
    found = []
    for rule, part in scored(results).groupby("rule", sort=False):
        sides = {"hidden": (np.sort(space["hidden"]),) * 2}
        if "beta" in searched(rule):
            strengths = np.geomspace(*space["beta"], STRENGTHS + 1)
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
