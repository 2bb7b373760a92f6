"""Synchronous successive halving: train all a little, the better ones longer (spec 6.5)."""

import pandas as pd

from scripts.tep_bp.search.plan import COLUMNS
from scripts.tep_bp.search.ranking import top


def kept(n: int, eta: int) -> int:
    """ceil(n / eta): how many of n trials are promoted."""
    return -(-n // eta)


def rungs(n: int, epochs: list[int], eta: int) -> list[tuple[int, int]]:
    """(epochs, trials) of each rung, e.g. (3, 300), (10, 100), (30, 34): known beforehand."""
    found = []
    for count in epochs:
        found.append((count, n))
        n = kept(n, eta)
    return found


def promoted(results: pd.DataFrame, keep: int) -> pd.DataFrame:
    """The `keep` best trials of a whole rung, as a plan in order of trial.

    `results` has the columns of a plan, and of a ranking. Failed trials are not promoted, so
    there may be fewer. Each trial keeps its number, seed and so the name of its job.
    """
    return top(results, keep).sort_values("trial")[COLUMNS].reset_index(drop=True)
