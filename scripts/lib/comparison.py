"""When two measured contestants may be compared, and what the comparison shows."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import pandas as pd

from scripts.lib.agreement import verdicts
from scripts.lib.stats import Estimate, paired_ratio

NOT_COMPARABLE = "not comparable"
CACHED = "cached: no work done"
NOT_MEASURED = "not measured here"
NO_DIFFERENCE = "no difference found"
TOO_NOISY = "this machine is too noisy for this row"
UNDECIDED = "undecided"
# Where the baseline over its own twin is outside, the machine's noise is no floor but an effect.
GATE = (0.9, 1.1)
# Half-width of an interval, on the log scale, from which on further rounds sharpen nothing.
PRECISE = 0.05
TIMES = ("wall_s", "fit_s", "cpu_s", "rss_mb")


class Comparison(NamedTuple):
    """`slower` over `faster` of one quantity; `ratio` is None where `verdict` refuses it."""

    verdict: str
    reason: str
    kind: str = ""
    ratio: Estimate | None = None
    noise: Estimate | None = None
    faults: tuple[float | None, float | None] = (None, None)

    def columns(self) -> dict:
        """Table columns: ratio and A/A interval, page faults, what differs, verdict, reason."""
        ratio, noise = self.ratio, self.noise
        return {
            "measured": ratio.value if ratio else None,
            "low": ratio.low if ratio else None,
            "high": ratio.high if ratio else None,
            "half_width": half_width(ratio) if ratio else None,
            "rounds": ratio.n if ratio else None,
            "noise": noise.value if noise else None,
            "noise_low": noise.low if noise else None,
            "noise_high": noise.high if noise else None,
            "slower_faults": self.faults[0],
            "faster_faults": self.faults[1],
            "differs_in": self.kind,
            "verdict": self.verdict,
            "reason": self.reason,
        }


def half_width(ratio: Estimate) -> float:
    """Half the interval's width on the log scale: 0.05 is about 5 % to either side."""
    return (math.log(ratio.high) - math.log(ratio.low)) / 2


def is_traced(measured: pd.DataFrame) -> bool:
    """Whether the memory of a workload was traced, which distorts its times."""
    return bool(measured["tensor_peak_mb"].notna().all())


def quantities(measured: pd.DataFrame) -> tuple[str, ...]:
    """What is compared in a workload; a traced one has memory only."""
    return ("tensor_peak_mb",) if is_traced(measured) else TIMES


def ratio_of(slower: pd.DataFrame, faster: pd.DataFrame, quantity: str) -> Estimate:
    """The ratio of a quantity in the rounds that both contestants have."""
    tables = [
        side.pivot(index="round", columns="call", values=quantity) for side in (slower, faster)
    ]
    rounds = tables[0].index.intersection(tables[1].index)
    return paired_ratio(*(table.loc[rounds].to_numpy(float) for table in tables))


def ratios_of(measured: pd.DataFrame, baseline: str) -> Iterator[Estimate]:
    """All ratios of one workload that a reader is shown, if agreement allows them."""
    by_name = dict(tuple(measured.groupby("contestant")))
    for slower, faster in pairs_to_show(measured, baseline):
        for quantity in quantities(measured):
            yield ratio_of(by_name[slower], by_name[faster], quantity)


def is_precise(measured: pd.DataFrame, baseline: str) -> bool:
    """Whether further rounds of a workload would sharpen no ratio that is not sharp enough."""
    return all(half_width(ratio) <= PRECISE for ratio in ratios_of(measured, baseline))


def noisy_quantities(measured: pd.DataFrame, baseline: str, again: str) -> dict[str, float]:
    """The baseline over its twin, of each quantity in which it is outside the gate."""
    by_name = dict(tuple(measured.groupby("contestant")))
    pair = by_name[baseline], by_name[again]
    found = {quantity: ratio_of(*pair, quantity).value for quantity in quantities(measured)}
    return {quantity: value for quantity, value in found.items() if not in_gate(value)}


def in_gate(noise: float) -> bool:
    """Whether the baseline and its twin are alike enough for anything to be told apart."""
    return GATE[0] <= noise <= GATE[1]


def kind_of(slower: pd.DataFrame, faster: pd.DataFrame) -> str:
    """What differs between the contestants: implementation, processes, threads, hardware, or
    several of these."""
    a, b = slower.iloc[0], faster.iloc[0]
    names = [("arm", "implementation"), ("workers", "processes"), ("threads", "threads")]
    names += [("device", "hardware")]
    differing = [name for column, name in names if a.get(column) != b.get(column)]
    return " and ".join(differing) or "nothing (A/A)"


def refusal(
    slower: pd.DataFrame, faster: pd.DataFrame, agreement: dict[str, tuple], reference: str
) -> str:
    """Why no ratio may be printed, or an empty string.

    `agreement` maps an arm to (passed, reason); the `reference` arm needs none.
    """
    a, b = slower.iloc[0], faster.iloc[0]
    if len(set(slower["round"]) & set(faster["round"])) < 2:
        return "one round only (n = 1): no interval can be given"
    if a.get("device") != b.get("device"):
        return f"one ran on {a['device']}, the other on {b['device']}: a ratio would be hardware's"
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
    reference: str | None = None,
) -> Comparison:
    """Compare two contestants of one workload; `again` names the A/A pair, the noise floor.

    `reference` is the arm that `agreement` is about; the baseline's, if left out.
    A ratio whose interval overlaps that of the A/A pair is no difference found. Where the A/A pair
    is itself outside the gate there is no ratio.
    """
    by_name = dict(tuple(measured.groupby("contestant")))
    if quantity not in measured:
        return Comparison(NOT_MEASURED, f"{quantity} was not recorded")
    sides = [by_name.get(name) for name in (slower, faster)]
    if any(side is None or side[quantity].isna().any() for side in sides):
        return Comparison(NOT_MEASURED, "no such contestant in this workload")
    kind, faults = kind_of(*sides), tuple(float(side["minor_faults"].median()) for side in sides)
    if any(name not in by_name for name in again):
        return Comparison(NOT_COMPARABLE, f"{' or '.join(again)} was not measured", kind)
    reference = reference or by_name[again[0]].iloc[0]["arm"]
    if reason := refusal(*sides, agreement, reference):
        return Comparison(NOT_COMPARABLE, reason, kind, None, None, faults)
    noise = ratio_of(*(by_name[name] for name in again), quantity)
    if not in_gate(noise.value):
        reason = (
            f"{again[0]} over its twin is {noise.value:.2f}, outside {GATE[0]} to {GATE[1]}, in "
            "the second of two measurements too"
        )
        return Comparison(TOO_NOISY, reason, kind, None, noise, faults)
    ratio = ratio_of(*sides, quantity)
    if ratio.low <= max(noise.high, 1.0) and ratio.high >= min(noise.low, 1.0):
        return Comparison(NO_DIFFERENCE, "", kind, ratio, noise, faults)
    return Comparison("less" if ratio.value > 1 else "more", "", kind, ratio, noise, faults)


def equality(agreement: pd.DataFrame, arm: str) -> Comparison:
    """Whether an arm gives the reference's results, as its agreement rows say."""
    rows = agreement[agreement["arm"] == arm]
    if rows.empty:
        return Comparison(NOT_MEASURED, f"the arm {arm} was not run")
    outcome, reason = verdicts(rows)[arm]
    return Comparison({True: "equal", False: "unequal", None: UNDECIDED}[outcome], reason)


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
    shown = [(baseline, name) for name in first.index if name != baseline]
    many = first[first["workers"] > 1]
    for name, row in many.iterrows():
        alone = first[(first["arm"] == row["arm"]) & (first["workers"] == 1)]
        alone = alone[alone["threads"] == row["threads"]].index
        alone = [baseline] if baseline in alone else alone[:1]
        rivals = many[many["arm"] == first.loc[baseline, "arm"]].index
        pairs = [(other, name) for other in [*alone, *rivals] if other != name]
        shown += [pair for pair in pairs if pair not in shown]
    return shown


def verdict_on_claim(comparison: Comparison, claimed: float | None, kind: str) -> str:
    """What a measured comparison says of a claimed factor, on the log scale.

    `holds` if the interval reaches the claim or lies beyond it, `holds partly` if the effect has
    the claimed direction but is smaller, `false` if it has the other one.
    """
    if comparison.verdict in (NOT_MEASURED, CACHED, TOO_NOISY, UNDECIDED):
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
