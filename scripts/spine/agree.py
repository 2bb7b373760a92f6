"""Does each arm give the reference's answer? agreement.csv: one row per arm and metric.

Columns: arm, level, where, metric, test (close, equivalent, not_worse, reported), n_pairs,
difference, mcse, low, high (90 %), margin, passed (empty for `reported`), note. Differences are arm
minus reference on the same unit; those of `equivalent` and `not_worse` are divided by the mean of
the reference over the unit's cell (all axes but the last, the replicate).
"""

from pathlib import Path

import numpy as np
import pandas as pd

from scripts.lib.files import replacing
from scripts.lib.stage import arguments
from scripts.lib.stats import paired_interval


def pairs(runs: pd.DataFrame, arm: str, reference: str, axes: list[str]) -> pd.DataFrame:
    """Units that both arms computed, columns suffixed `_arm` and `_ref`."""
    sides = [runs[runs["arm"] == name] for name in (arm, reference)]
    return sides[0].merge(sides[1], on=axes, suffixes=("_arm", "_ref"), validate="one_to_one")


def check_metric(
    both: pd.DataFrame, metric: str, test: str, margin: float, cell: list[str]
) -> dict:
    """One agreement row: mean paired difference, interval, and whether it keeps the margin."""
    difference = (both[f"{metric}_arm"] - both[f"{metric}_ref"]).to_numpy(float)
    if test in ("equivalent", "not_worse"):
        scale = both.groupby(cell)[f"{metric}_ref"].transform("mean").abs().to_numpy()
        difference = difference / scale
    estimate = paired_interval(difference)
    row = {"metric": metric, "test": test, "n_pairs": estimate.n, "difference": estimate.value}
    row |= {"mcse": estimate.mcse, "low": estimate.low, "high": estimate.high, "margin": margin}
    largest = float(np.abs(difference).max(initial=0.0))
    if test == "close":
        return row | {"passed": largest <= margin, "note": f"largest difference {largest:.2g}"}
    if test == "equivalent":
        return row | {"passed": -margin < estimate.low and estimate.high < margin, "note": ""}
    if test == "not_worse":
        return row | {"passed": estimate.high < margin, "note": ""}
    return row | {"passed": None, "note": ""}


def agree_where(both: pd.DataFrame, rule: dict, cell: list[str]) -> list[dict]:
    """Agreement rows over these pairs under an arm's declared tests.

    Statuses are compared first: a unit that only one side finished fails the arm.
    """
    finished = (both["status_arm"] == "ok") & (both["status_ref"] == "ok")
    unequal = int((both["status_arm"] != both["status_ref"]).sum())
    both = both[finished]
    enough = len(both) >= rule["min_pairs"]
    note = f"{len(both)} pairs, {rule['min_pairs']} needed; {unequal} units with unequal status"
    rows = [{"metric": "pairs", "test": "counted", "n_pairs": len(both), "note": note}]
    rows[0] |= {"passed": enough and unequal == 0}
    for test in ("close", "equivalent", "not_worse") if enough else ():
        for metric, margin in rule.get(test, {}).items():
            rows.append(check_metric(both, metric, test, margin, cell))
    for metric in rule["reported"] if len(both) else ():
        rows.append(check_metric(both, metric, "reported", np.nan, cell))
    return rows


def agree(runs: pd.DataFrame, arm: str, options: dict) -> list[dict]:
    """Agreement rows of one arm, separately for each value of the axis `split`.

    Separately, so that a gain in one part of the design cannot pay for a loss in another.
    """
    axis, rule = options["split"], options["arms"][arm]
    label = {"arm": arm, "level": rule["level"]}
    both = pairs(runs, arm, options["reference"], options["axes"])
    if both.empty:
        nothing = {"metric": "pairs", "test": "counted", "n_pairs": 0, "passed": False}
        return [label | nothing | {"where": "all", "note": "no unit that both arms computed"}]
    return [
        label | {"where": f"{axis} = {value}"} | row
        for value, part in both.groupby(axis)
        for row in agree_where(part, rule, options["axes"][:-1])
    ]


if __name__ == "__main__":
    args = arguments(runs=Path, agreement=Path)
    runs = pd.read_parquet(args.runs)
    ran = [arm for arm in args.spec["arms"] if arm in set(runs["arm"])]
    rows = [row for arm in ran for row in agree(runs, arm, args.spec)]
    with replacing(args.agreement) as temporary:
        pd.DataFrame(rows).to_csv(temporary, index=False)
