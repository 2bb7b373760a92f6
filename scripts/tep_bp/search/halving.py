"""Synchronous successive halving: train all a little, the better ones longer (spec 6.5)."""

import pandas as pd

from scripts.tep_bp.search.plan import COLUMNS
from scripts.tep_bp.search.ranking import top


def promoted(results: pd.DataFrame, keep: int) -> pd.DataFrame:
    """The `keep` best trials of a whole rung, as a plan in order of trial.

    `results` has the columns of a plan, and of a ranking. Failed trials are not promoted, so
    there may be fewer. Each trial keeps its number, seed and so the name of its job.
    """
    return top(results, keep).sort_values("trial")[COLUMNS].reset_index(drop=True)
