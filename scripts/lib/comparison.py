"""When two measured contestants may be compared, and what the comparison shows."""

from typing import NamedTuple

import pandas as pd

from scripts.lib.agreement import verdicts
from scripts.lib.stats import Estimate, ratio_of_medians

NOT_COMPARABLE = "not comparable"
CACHED = "cached: no work done"
NOT_MEASURED = "not measured here"
NO_DIFFERENCE = "no difference found"


class Comparison(NamedTuple):
    """`slower` over `faster` of one quantity; `ratio` is None where `verdict` refuses it."""

    verdict: str
    reason: str
    kind: str = ""
    ratio: Estimate | None = None
    noise: Estimate | None = None

    def columns(self) -> dict:
        """Table columns: ratio and A/A interval, what differs, verdict, reason."""
        ratio, noise = self.ratio, self.noise
        return {
            "measured": ratio.value if ratio else None,
            "low": ratio.low if ratio else None,
            "high": ratio.high if ratio else None,
            "repeats": ratio.n if ratio else None,
            "noise_low": noise.low if noise else None,
            "noise_high": noise.high if noise else None,
            "differs_in": self.kind,
            "verdict": self.verdict,
            "reason": self.reason,
        }


def kind_of(slower: pd.DataFrame, faster: pd.DataFrame) -> str:
    """What differs between the contestants: implementation, processes, threads or a mixture."""
    a, b = slower.iloc[0], faster.iloc[0]
    names = [("arm", "implementation"), ("workers", "processes"), ("threads", "threads")]
    differing = [name for column, name in names if a[column] != b[column]]
    return " and ".join(differing) or "nothing (A/A)"


def refusal(
    slower: pd.DataFrame, faster: pd.DataFrame, agreement: dict[str, tuple], reference: str
) -> str:
    """Why no ratio may be printed, or an empty string.

    `agreement` maps an arm to (passed, reason); the `reference` arm needs none.
    """
    a, b = slower.iloc[0], faster.iloc[0]
    if len(slower) < 2 or len(faster) < 2:
        return "one repeat only (n = 1): no interval can be given"
    cores = [row["threads"] * row["workers"] for row in (a, b)]
    if a["arm"] != b["arm"] and a["threads"] != b["threads"] and cores[0] != cores[1]:
        return f"thread counts differ ({a['threads']} and {b['threads']})"
    for side in (slower, faster):
        if (side["units_ok"] < side["units"]).any():
            return f"{side.iloc[0]['contestant']}: a unit failed or diverged"
    for arm in {a["arm"], b["arm"]} - {reference} if a["arm"] != b["arm"] else ():
        passed, reason = agreement.get(arm, (False, "its agreement was not tested"))
        if not passed:
            return f"{arm} was not shown to agree with the reference: {reason}"
    return ""


def compare(
    measured: pd.DataFrame,
    slower: str,
    faster: str,
    quantity: str,
    agreement: dict[str, tuple],
    again: tuple[str, str],
) -> Comparison:
    """Compare two contestants of one workload; `again` names the A/A pair, the noise floor.

    A ratio whose interval overlaps that of the A/A pair is no difference found.
    """
    by_name = dict(tuple(measured.sort_values("round").groupby("contestant")))
    if quantity not in measured:
        return Comparison(NOT_MEASURED, f"{quantity} was not recorded")
    sides = [by_name.get(name) for name in (slower, faster)]
    if any(side is None or side[quantity].isna().any() for side in sides):
        return Comparison(NOT_MEASURED, "no such contestant in this workload")
    kind = kind_of(*sides)
    reference = next((by_name[name].iloc[0]["arm"] for name in again if name in by_name), "")
    if reason := refusal(*sides, agreement, reference):
        return Comparison(NOT_COMPARABLE, reason, kind)
    ratio = ratio_of_medians(*(side[quantity].to_numpy() for side in sides))
    noise = None
    if all(name in by_name for name in again):
        noise = ratio_of_medians(*(by_name[name][quantity].to_numpy() for name in again))
    floor = (min(noise.low, 1.0), max(noise.high, 1.0)) if noise else (1.0, 1.0)
    if ratio.low <= floor[1] and ratio.high >= floor[0]:
        return Comparison(NO_DIFFERENCE, "", kind, ratio, noise)
    return Comparison("less" if ratio.value > 1 else "more", "", kind, ratio, noise)


def equality(agreement: pd.DataFrame, arm: str) -> Comparison:
    """Whether an arm gives the reference's results, as its agreement rows say."""
    rows = agreement[agreement["arm"] == arm]
    if rows.empty:
        return Comparison(NOT_MEASURED, f"the arm {arm} was not run")
    passed, reason = verdicts(rows)[arm]
    return Comparison("equal" if passed else "unequal", reason)


def protocol_change(agreement: pd.DataFrame, arm: str) -> Comparison:
    """What an arm that changes the experiment does to the answer: its reported differences."""
    rows = agreement[(agreement["arm"] == arm) & (agreement["test"] == "reported")]
    if rows.empty:
        return Comparison(NOT_MEASURED, f"the arm {arm} was not run beside the reference")
    told = [
        f"{row.metric} {row.difference:+.3g} ({row.low:+.3g} to {row.high:+.3g})"
        for row in rows.itertuples()
    ]
    return Comparison("protocol change", "; ".join(told))


def pairs_to_show(measured: pd.DataFrame, baseline: str) -> list[tuple[str, str]]:
    """(slower, faster) contestants of one workload that a reader wants to see compared.

    The baseline against everyone; every arm on many workers against the same arm on one (what
    parallelism gives) and against the baseline's arm on as many (what the implementation gives).
    """
    first = measured.drop_duplicates("contestant").set_index("contestant")
    others = [name for name in first.index if name != baseline]
    shown = [(baseline, name) for name in others] if baseline in first.index else []
    many = first[first["workers"] > 1]
    for name, row in many.iterrows():
        alone = first[(first["arm"] == row["arm"]) & (first["workers"] == 1)]
        alone = alone[alone["threads"] == row["threads"]].index
        alone = [baseline] if baseline in alone else alone[:1]
        rivals = many[many["arm"] == first["arm"].get(baseline)].index
        pairs = [(other, name) for other in [*alone, *rivals] if other != name]
        shown += [pair for pair in pairs if pair not in shown]
    return shown


def verdict_on_claim(comparison: Comparison, claimed: float | None, kind: str) -> str:
    """What a measured comparison says of a claimed factor, on the log scale.

    `holds` if the interval reaches the claim or lies beyond it, `holds partly` if the effect has
    the claimed direction but is smaller, `false` if it has the other one.
    """
    if comparison.verdict in (NOT_MEASURED, CACHED):
        return comparison.verdict
    if kind == "equality":
        return "holds" if comparison.verdict == "equal" else "false"
    if kind == "protocol":
        return "protocol change"
    if comparison.ratio is None:
        return NOT_COMPARABLE
    found = comparison.verdict != NO_DIFFERENCE
    if claimed == 1:
        return "false" if found else "holds"
    if not found:
        return NO_DIFFERENCE
    low, high = comparison.ratio.low, comparison.ratio.high
    if claimed is not None and claimed < 1:
        low, high, claimed = 1 / high, 1 / low, 1 / claimed
    if high < 1:
        return "false"
    return "holds" if claimed is None or high >= claimed else "holds partly"
