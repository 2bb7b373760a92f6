"""The order of trials: by validation accuracy at the last epoch, then loss, then number."""

import pandas as pd

SCORE, LOSS = "val_accuracy", "val_loss"


def scored(results: pd.DataFrame, score: str = SCORE) -> pd.DataFrame:
    """Rows that have a score: a trial that diverged has its real one, a failed trial has none."""
    return results[(results["status"] != "failed") & results[score].notna()]


def ranked(results: pd.DataFrame) -> pd.DataFrame:
    """Scored trials of one rule, best first (docs/studies/tep_bp.md, Score of a trial).

    `results` has trial, status, val_accuracy, val_loss; a loss that is NaN is the worst.
    """
    return scored(results).sort_values(
        [SCORE, LOSS, "trial"], ascending=[False, True, True], na_position="last"
    )


def top(results: pd.DataFrame, k: int) -> pd.DataFrame:
    """The best k trials, best first; fewer where fewer have a score."""
    return ranked(results).head(k)
