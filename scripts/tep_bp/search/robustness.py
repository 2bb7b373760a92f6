"""How well a rule does without a lucky choice: the distribution over trials (spec 6.2.8)."""

import numpy as np
import pandas as pd

from scripts.tep_bp.search.ranking import SCORE, scored

NEAR = 0.01  # accuracy: within 1 pp of the best
QUANTILES = {"best": 1.0, "median": 0.5, "lower_quartile": 0.25, "upper_quartile": 0.75}
ROUNDING = 1e-9  # exactly 1 pp below is near, whatever binary fractions say


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
