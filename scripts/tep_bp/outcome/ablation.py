"""The original's block with its faults, and with one repair after the other, on the same trials."""

import pandas as pd

from scripts.lib.stats import paired_interval
from scripts.lib.table_files import together
from scripts.tep_bp.outcome.distribution import QUANTILES, robustness
from scripts.tep_bp.outcome.row_selection import SEARCH, ordered, refusal
from scripts.tep_bp.plans.ranking import SCORE, scored
from scripts.tep_bp.specs import Row, TablesJob

RULE = "tep"
LEGACY = ["arm", "role", "trials", *QUANTILES, "diverged", "failed", "cpu_s",
          "difference", "low", "high", "pairs", "reason"]  # fmt: skip
BY_BATCH = ["arm", "role", "batch", "trials", "median"]


def ablation_rows(runs: pd.DataFrame, spec: TablesJob) -> pd.DataFrame:
    """Trials of the legacy arms in their order, and the result arm's of the same points.

    The last is another model; it is there if it searched (not in halving).
    """
    rows = runs[(runs["rule"] == RULE) & (runs["stage"] == SEARCH)]
    points = rows.loc[rows["arm"].isin(spec.original), "trial"]
    own = [] if spec.stage != SEARCH else [spec.arm]
    rows = ordered(rows[rows["trial"].isin(points)], "arm", [*spec.original, *own], "trial")
    roles = dict.fromkeys(own, "result") | dict.fromkeys(spec.original, "legacy")
    return rows.assign(role=rows["arm"].map(roles))


def legacy(rows: pd.DataFrame) -> pd.DataFrame:
    """Table legacy: distribution of the arms, and the paired mean difference from the first one.

    Differences have Student's 95 % interval over trials; an arm that lacks a trial of the first,
    or has one too many, has the reason instead. `cpu_s`: mean per trial.
    """
    as_rules, first = rows.assign(rule=rows["arm"]), rows["arm"].iloc[0] if len(rows) else None
    found = []
    for arm, part in as_rules.groupby("rule", sort=False):
        row = robustness(part).iloc[0].to_dict()
        row |= {"arm": arm, "role": part["role"].iloc[0], "cpu_s": part["cpu_s"].mean()}
        if arm != first:
            row |= _difference(as_rules, first, arm)
        found.append(row)
    return together(found, LEGACY)


def by_batch(rows: pd.DataFrame) -> pd.DataFrame:
    """Table by_batch: median accuracy by arm and batch size, which a fault makes matter."""
    groups = scored(rows).groupby(["arm", "role", "batch"], sort=False)[SCORE]
    table = groups.agg(trials="size", median="median").reset_index()
    return ordered(table, "arm", list(rows["arm"].unique()), "batch")[BY_BATCH]


def _difference(rows: pd.DataFrame, first: str, arm: str) -> Row:
    points = rows.loc[rows["rule"] == first, "trial"]
    if reason := refusal(rows, [first, arm], points):
        return {"reason": reason}
    scores = rows.pivot(index="trial", columns="rule", values=SCORE)
    found = paired_interval(scores[arm] - scores[first], confidence=0.95)
    return {"difference": found.value, "low": found.low, "high": found.high, "pairs": found.n}
