"""Whether an arm gives the reference's answer, by the tests that its study declares for it."""

from typing import Any

import numpy as np
import pandas as pd

from scripts.lib.power import POWER, needed_pairs
from scripts.lib.sections import Claim
from scripts.lib.stats import paired_interval
from scripts.lib.typed import Model


class Declared(Model):
    """What the arms of a study claim: the axes of its units, and the one tested part by part."""

    axes: list[str]
    reference: str
    strata: str
    arms: dict[str, Claim]


Row = dict[str, Any]
MOST = 0.9  # of the pairs keep the margin of `mostly`


def pairs(runs: pd.DataFrame, arm: str, reference: str, axes: list[str]) -> pd.DataFrame:
    """Units that both arms computed, columns suffixed `_arm` and `_ref`."""
    sides = [runs[runs["arm"] == name] for name in (arm, reference)]
    return sides[0].merge(sides[1], on=axes, suffixes=("_arm", "_ref"), validate="one_to_one")


def paired_differences(both: pd.DataFrame, metric: str) -> np.ndarray:
    """Arm minus reference of each pair, (pairs,).

    A metric may be a list (a curve): its entry farthest apart counts. Empty lists, and
    lists of unequal length, have a difference that is no number.
    """

    def farthest(arm, reference) -> float:
        arm, reference = np.atleast_1d(arm).astype(float), np.atleast_1d(reference).astype(float)
        if arm.shape != reference.shape or not arm.size:
            return np.nan  # which keeps no margin
        difference = arm - reference
        return difference[np.abs(difference).argmax()]  # a NaN, if there is one

    sides = zip(both[f"{metric}_arm"], both[f"{metric}_ref"], strict=True)
    return np.array([farthest(*pair) for pair in sides])


def check_metric(both: pd.DataFrame, metric: str, test: str, margin: float, cell: list[str]) -> Row:
    """One agreement row: mean paired difference, interval, and whether it keeps the margin."""
    difference = paired_differences(both, metric)
    if test in ("equivalent", "not_worse"):
        scale = both.groupby(cell)[f"{metric}_ref"].transform("mean").abs().to_numpy()
        difference = difference / scale
    estimate = paired_interval(difference)
    row = {"metric": metric, "test": test, "n_pairs": estimate.n, "difference": estimate.value}
    row |= {"mcse": estimate.mcse, "low": estimate.low, "high": estimate.high, "margin": margin}
    largest = float(np.abs(difference).max(initial=0.0))
    if test == "at_most":
        worst = float(both[f"{metric}_arm"].max())
        return row | {"passed": worst <= margin, "note": f"largest value {worst:.2g}"}
    if test == "mostly":
        kept = int((np.abs(difference) <= margin).sum())
        return row | {"passed": kept >= MOST * len(both), "note": f"{kept} of {len(both)} within"}
    if test == "close":
        return row | {"passed": largest <= margin, "note": f"largest difference {largest:.2g}"}
    if test == "equivalent":
        return row | {"passed": -margin < estimate.low and estimate.high < margin, "note": ""}
    if test == "not_worse":
        return row | {"passed": estimate.high < margin, "note": ""}
    return row | {"passed": None, "note": ""}


def decided(row: Row) -> Row:
    """The row without a verdict, if its test has fewer pairs than its power needs."""
    needed = needed_pairs(row["test"])
    if row["n_pairs"] >= needed:
        return row
    note = f"undecided: {row['n_pairs']} pairs, {needed} needed for a power of {POWER}"
    return row | {"passed": None, "note": note}


def has(both: pd.DataFrame, metric: str) -> bool:
    """Whether the reference has this metric in any of these pairs."""
    return f"{metric}_ref" in both and bool(both[f"{metric}_ref"].notna().any())


def agree_where(both: pd.DataFrame, claim: Claim, cell: list[str]) -> list[Row]:
    """Agreement rows over these pairs under an arm's declared tests.

    Statuses are compared first: a unit that only one side finished fails the arm. A metric that
    the reference lacks in this part of the design is not tested there.
    """
    finished = (both["status_arm"] == "ok") & (both["status_ref"] == "ok")
    unequal = int((both["status_arm"] != both["status_ref"]).sum())
    both = both[finished]
    enough = len(both) >= claim.min_pairs
    note = f"{len(both)} pairs, {claim.min_pairs} needed; {unequal} units with unequal status"
    rows = [{"metric": "pairs", "test": "counted", "n_pairs": len(both), "note": note}]
    rows[0] |= {"passed": enough and unequal == 0}
    for test, margins in claim.tests().items() if enough else ():
        for metric, margin in margins.items():
            if has(both, metric):
                rows.append(decided(check_metric(both, metric, test, margin, cell)))
    if enough and claim.level != "protocol" and all(row["passed"] is None for row in rows[1:]):
        why = {row["note"] for row in rows[1:]} or {"none of the declared tests applies here"}
        rows[0] |= {"passed": False, "note": "; ".join(sorted(why))}
    for metric in claim.reported if len(both) else ():
        if has(both, metric):
            rows.append(check_metric(both, metric, "reported", np.nan, cell))
    return rows


def agree(runs: pd.DataFrame, arm: str, declared: Declared) -> list[Row]:
    """Agreement rows of one arm, separately for each value of the axis `strata`.

    Separately, so that a gain in one part of the design cannot pay for a loss in another.
    """
    axis, claim = declared.strata, declared.arms[arm]
    label = {"arm": arm, "level": claim.level}
    both = pairs(runs, arm, declared.reference, declared.axes)
    if both.empty:
        nothing = {"metric": "pairs", "test": "counted", "n_pairs": 0, "passed": False}
        return [label | nothing | {"where": "all", "note": "no unit that both arms computed"}]
    return [
        label | {"where": f"{axis} = {value}"} | row
        for value, part in both.groupby(axis)
        for row in agree_where(part, claim, declared.axes[:-1])
    ]


def verdicts(agreement: pd.DataFrame, where: str = "") -> dict[str, tuple[bool, str]]:
    """(passed, reason) per arm from its agreement rows, or only those at one of the strata."""
    out = {}
    if where:
        agreement = agreement[agreement["where"].str.endswith(f" = {where}")]
    for arm, rows in agreement.groupby("arm", sort=False):
        failed = rows[rows["passed"].astype(str) == "False"].fillna({"note": ""})
        reasons = [
            f"{row.metric} ({row.test}) at {row.where}: "
            + ("outside the margin" if not row.note else row.note)
            for row in failed.itertuples()
        ]
        if (rows["level"] == "protocol").any():
            reasons.append("it is another protocol, which is never a speed-up")
        out[arm] = (not reasons, "; ".join(reasons))
    return out
