"""Whether the trials of two rules may be compared: nothing missing is ever a win (spec 6.2.9)."""

from collections.abc import Iterable

import pandas as pd

from scripts.tep_bp.search.ranking import SCORE, scored


def refusal(
    results: pd.DataFrame,
    rules: Iterable[str],
    units: Iterable[int],
    axis: str = "trial",
    score: str = SCORE,
) -> str:
    """Why rules are not comparable, or "" if each has a `score` of all `units` of the `axis`."""
    units = set(units)
    for rule in rules:
        part = results[results["rule"] == rule]
        if twice := part[axis][part[axis].duplicated()].tolist():
            return f"{rule}: {axis} {twice[0]} is there twice"
        if missing := len(units - set(part[axis])):
            return f"{rule}: {missing} of {len(units)} {axis}s are missing"
        if extra := set(part[axis]) - units:
            return f"{rule}: {axis} {min(extra)} is none of the {len(units)} expected"
        if failed := len(part) - len(scored(part, score)):
            return f"{rule}: {failed} of {len(units)} {axis}s failed"
    return ""
