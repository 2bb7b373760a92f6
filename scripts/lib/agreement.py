"""Whether an arm gives the reference's answer, by the tests that its study declares for it."""

from typing import Any

import numpy as np
import pandas as pd

from scripts.lib.accuracy import as_accurate, distance
from scripts.lib.power import POWER, needed_pairs
from scripts.lib.sections import RELATIVE, Agreement, Claim
from scripts.lib.stats import all_of, paired_interval, passes
from scripts.lib.typed import Model


class Declared(Model):
    """What the arms of a study claim, how claims are tested, and the axes of its units."""

    agreement: Agreement
    axes: list[str]
    reference: str
    truth: str | None
    arms: dict[str, Claim]


Row = dict[str, Any]
ON_THE_EDGE = "undecided: the interval reaches over the margin, more units"


def pairs(runs: pd.DataFrame, arm: str, reference: str, axes: list[str]) -> pd.DataFrame:
    """Units that both arms computed, columns suffixed `_arm` and `_ref`."""
    sides = [runs[runs["arm"] == name] for name in (arm, reference)]
    return sides[0].merge(sides[1], on=axes, suffixes=("_arm", "_ref"), validate="one_to_one")


def of_one_processor(both: pd.DataFrame) -> pd.DataFrame:
    """Pairs whose sides ran with the same instructions, on the CPU or on one model of GPU: between
    processors bits differ anyway."""
    sides = ["instruction_set_arm", "instruction_set_ref"]
    return both[both[sides[0]] == both[sides[1]]] if set(sides) <= set(both) else both


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
    if test in RELATIVE:
        scale = both.groupby(cell)[f"{metric}_ref"].transform("mean").abs().to_numpy()
        difference = difference / scale
    estimate = paired_interval(difference)
    row = {"metric": metric, "test": test, "n_pairs": estimate.n, "difference": estimate.value}
    row |= {"mcse": estimate.mcse, "low": estimate.low, "high": estimate.high, "margin": margin}
    largest = float(np.abs(difference).max(initial=0.0))
    if test == "at_most":
        worst = float(both[f"{metric}_arm"].max())
        return row | {"passed": worst <= margin, "note": f"largest value {worst:.2g}"}
    if test == "close":
        return row | {"passed": largest <= margin, "note": f"largest difference {largest:.2g}"}
    if test in RELATIVE:
        below, above = RELATIVE[test]
        least, most = -margin if below else -np.inf, margin if above else np.inf
        passed = passes(estimate.low, estimate.high, least, most)
        note = {True: "", False: "outside the margin", None: ON_THE_EDGE}[passed]
        return row | {"passed": passed, "note": note}
    return row | {"passed": None, "note": ""}


def check_accuracy(both: pd.DataFrame, metric: str, resolution: float, agreement: Agreement) -> Row:
    """One agreement row: is the arm as close to the truth as the reference (accuracy.py)?

    `difference` is the median ratio of their distances, `low` and `high` its bounds (95 % each).
    """
    both = both[both["status_truth"] == "ok"]

    def distances(side: str) -> np.ndarray:
        names = [f"{metric}_{side}", f"{metric}_truth", f"{metric}_ref"]
        # A curve is compared as far as truth and reference go, each of which may be shorter.
        return np.array(
            [distance(found, truth[: np.size(reference)] if np.ndim(truth) else truth)
             for found, truth, reference in both[names].itertuples(index=False)]
        )  # fmt: skip

    arm, reference = distances("arm"), distances("ref")
    # Beside a reference that cannot be compared with the truth any arm would look accurate.
    known = np.isfinite(reference)
    found = as_accurate(arm[known], reference[known], resolution, agreement.factor, agreement.tail)
    note = (
        f"largest distance {found.largest:.2g}, of the reference {found.largest_reference:.2g}; "
        f"{found.outliers} units stand out, {found.reversed} of the reference"
    )
    if not known.all():
        note += f"; {(~known).sum()} left out, whose reference is no distance from the truth"
    row = {"metric": metric, "test": "accurate", "n_pairs": found.n, "difference": found.ratio}
    row |= {"mcse": np.nan, "low": found.low, "high": found.high, "margin": agreement.factor}
    undecided = "undecided: " if found.passed is None else ""
    return row | {"passed": found.passed, "note": undecided + note}


def decided(row: Row, needed: int) -> Row:
    """The row without a verdict, if its test has fewer pairs than its power needs."""
    if row["n_pairs"] >= needed:
        return row
    note = f"undecided: {row['n_pairs']} pairs, {needed} needed for a power of {POWER}"
    return row | {"passed": None, "note": note}


def is_listed(values: pd.Series) -> bool:
    """Whether a metric is a list (a curve)."""
    return any(np.ndim(value) for value in values)


def has(both: pd.DataFrame, metric: str) -> bool:
    """Whether the reference has this metric in any of these pairs."""
    return f"{metric}_ref" in both and bool(both[f"{metric}_ref"].notna().any())


def agree_where(both: pd.DataFrame, claim: Claim, declared: Declared) -> list[Row]:
    """Agreement rows over these pairs under an arm's declared tests.

    Statuses are compared first: a unit that only one side finished fails the arm. A metric that
    the reference lacks in this part of the design is not tested there. `identical` arms are
    compared within one kind of processor; where that leaves too few pairs, nothing is shown.
    """
    every = len(both)
    if claim.level == "identical":
        both = of_one_processor(both)
    apart = every - len(both)
    finished = (both["status_arm"] == "ok") & (both["status_ref"] == "ok")
    unequal = int((both["status_arm"] != both["status_ref"]).sum())
    both = both[finished]
    enough = len(both) >= claim.min_pairs
    note = f"{len(both)} pairs, {claim.min_pairs} needed; {unequal} units with unequal status"
    rows = [{"metric": "pairs", "test": "counted", "n_pairs": len(both), "note": note}]
    rows[0] |= {"passed": False if unequal else True if enough else None}
    if apart:
        rows[0]["note"] += f"; {apart} left out, whose sides ran on different processors"
    cell = declared.axes[:-1]
    for test, margins in claim.tests().items() if enough else ():
        for metric, margin in margins.items():
            if not has(both, metric):
                continue
            if test == "accurate":
                row = check_accuracy(both, metric, margin, declared.agreement)
            else:
                row = check_metric(both, metric, test, margin, cell)
            of_lists = is_listed(both[f"{metric}_ref"])
            needed = needed_pairs(test, of_lists=of_lists, factor=declared.agreement.factor)
            rows.append(decided(row, needed))
    if enough and claim.level != "protocol" and len(rows) == 1:
        rows[0] |= {"passed": None, "note": "none of the declared tests applies here"}
    for metric in claim.reported if len(both) else ():
        if has(both, metric):
            rows.append(check_metric(both, metric, "reported", np.nan, cell))
    return rows


def agree(runs: pd.DataFrame, arm: str, declared: Declared) -> list[Row]:
    """Agreement rows of one arm, separately for each value of the axis `strata`.

    Separately, so that a gain in one part of the design cannot pay for a loss in another.
    """
    axis, claim = declared.agreement.strata, declared.arms[arm]
    label = {"arm": arm, "level": claim.level}
    both = pairs(runs, arm, declared.reference, declared.axes)
    if both.empty:
        nothing = {"metric": "pairs", "test": "counted", "n_pairs": 0, "passed": None}
        return [label | nothing | {"where": "all", "note": "no unit that both arms computed"}]
    if declared.truth:
        true = runs[runs["arm"] == declared.truth]
        others = {name: f"{name}_truth" for name in true if name not in declared.axes}
        both = both.merge(true.rename(columns=others), "left", declared.axes, validate="one_to_one")
    return [
        label | {"where": f"{axis} = {value}"} | row
        for value, part in both.groupby(axis)
        for row in agree_where(part, claim, declared)
    ]


def rows_at(agreement: pd.DataFrame, where: str) -> pd.DataFrame:
    """Agreement rows at one of the strata; all of them, if none is named."""
    return agreement[agreement["where"].str.endswith(f" = {where}")] if where else agreement


def verdicts(agreement: pd.DataFrame, where: str = "") -> dict[str, tuple[bool | None, str]]:
    """(passed, reason) per arm from its agreement rows, or only those at one of the strata.

    None where tests are undecided and none fails: the arm is not shown to agree, nor to differ.
    """
    out = {}
    for arm, rows in rows_at(agreement, where).groupby("arm", sort=False):
        tested = rows[rows["test"] != "reported"]
        outcomes = [{"True": True, "False": False}.get(str(passed)) for passed in tested["passed"]]
        failed = tested[[passed is not True for passed in outcomes]].fillna({"note": ""})
        reasons = [
            f"{row.metric} ({row.test}) at {row.where}: "
            + ("outside the margin" if not row.note else row.note)
            for row in failed.itertuples()
        ]
        if (rows["level"] == "protocol").any():
            outcomes.append(False)
            reasons.append("it is another protocol, which is never a speed-up")
        out[arm] = all_of(*outcomes), "; ".join(reasons)
    return out
