"""Row selection: trials of the result, its repeats, the arms beside it; and what may be compared.

Nothing missing is ever a win (docs/studies/tep_bp.md, Fairness).
"""

from collections.abc import Iterable

import pandas as pd

from scripts.tep_bp.plans.ranking import SCORE, scored
from scripts.tep_bp.plans.stages import repeat_stage
from scripts.tep_bp.specs import TablesJob

SEARCH = "search"  # stage
# Columns that a study without repeats or without fixed points may lack.
OPTIONAL = (
    *("chosen", "rank", "repeat", "test_accuracy", "hits", "late_accuracy", "late_hits"),
    *("residual_free", "residual_free_max", "residual_nudged", "spectral_norm", "nudged_bound"),
)


def complete(runs: pd.DataFrame) -> pd.DataFrame:
    """The rows with every optional column; what no row has is missing."""
    return runs.reindex(columns=[*runs, *(name for name in OPTIONAL if name not in runs)])


def ordered(rows: pd.DataFrame, column: str, values: list[str], *then: str) -> pd.DataFrame:
    """Rows whose `column` is one of `values`, in their order, then by the other columns."""
    rows = rows[rows[column].isin(values)]
    place = rows[column].map({value: at for at, value in enumerate(values)})
    rows = rows.assign(_place=place).sort_values(["_place", *then], kind="stable")
    return rows.drop(columns="_place").reset_index(drop=True)


def result_rows(runs: pd.DataFrame, spec: TablesJob) -> pd.DataFrame:
    """Trials of the result: its arm at its stage (`search`, or the last rung), by rule."""
    rows = runs[(runs["arm"] == spec.arm) & (runs["stage"] == spec.stage)]
    return ordered(rows, "rule", spec.rules, "trial")


def repeat_rows(runs: pd.DataFrame, spec: TablesJob, rounding: int = 0) -> pd.DataFrame:
    """Chosen configurations with new seeds, by rule, rank and repeat; ranks below `top`."""
    rows = runs[(runs["arm"] == spec.arm) & (runs["stage"] == repeat_stage(rounding))]
    rows = rows[rows["rank"] < spec.top]
    rows = rows.astype(dict.fromkeys(("rank", "repeat", "chosen"), "int64"))
    return ordered(rows, "rule", spec.rules, "rank", "repeat")


def beside_rows(runs: pd.DataFrame, spec: TablesJob) -> pd.DataFrame:
    """Trials of all arms with their `role`: result at its stage, other and legacy as searched."""
    runs = runs[~runs["arm"].isin(spec.proof)]
    stage = runs["arm"].map(lambda arm: spec.stage if arm == spec.arm else SEARCH)
    rows = runs[runs["stage"] == stage]
    roles = {spec.arm: "result"} | dict.fromkeys(spec.original, "legacy")
    rows = rows.assign(role=[roles.get(arm, "other") for arm in rows["arm"]])
    others = sorted(set(rows["arm"]) - set(roles))
    rows = ordered(rows, "rule", spec.rules, "hidden", "trial")
    return ordered(rows, "arm", [spec.arm, *others, *spec.original])


def reasons(results: pd.DataFrame, spec: TablesJob) -> dict[str, str]:
    """Why a rule's trials may not be compared with those of others, "" if they may."""
    found = {}
    for rule in spec.rules:
        units = range(spec.trials)
        if spec.stage != SEARCH:
            # Each rule promotes trials of its own: only their number is known beforehand.
            own = sorted(set(results.loc[results["rule"] == rule, "trial"]))[: spec.trials]
            units = [*own, *range(len(own) - spec.trials, 0)]
        found[rule] = refusal(results, [rule], units)
    return found


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
