"""Ratios of a study's baseline to its result, each with its proof, or words in its place."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from scripts.lib.numerals import ranged, span
from scripts.lib.page_study import VERDICTS, Told, verdict
from scripts.lib.page_tables import Row
from scripts.spine.proofs import Controls, Proof, proof_of

QUANTITIES = {
    "wall_s": "wall time of the whole call",
    "fit_s": "wall time of the work",
    "cpu_s": "CPU time of the work",
    "rss_mb": "resident memory",
    "tensor_peak_mb": "peak of living tensors",
}
HEADLINE = ("fit_s", "tensor_peak_mb")
TOO_WEAK = "the tests are too weak"


@dataclass(frozen=True)
class Headline:
    """The baseline's cost over that of the result in a workload.

    `value` is None where no ratio may be printed: `words` say why. `noise`: the A/A interval.
    """

    workload: str
    quantity: str
    proof: Proof
    words: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    noise: tuple[float, float] | None = None
    rounds: int | None = None
    effect: bool = False  # whether a difference was found

    @property
    def contradicts_noise(self) -> bool:
        """Whether baseline and twin, the same program, are told apart from each other."""
        return self.noise is not None and not self.noise[0] <= 1 <= self.noise[1]


def headline(row: Row, told: Told, proof: Proof) -> Headline:
    """The headline that a row of ratios.csv allows."""
    noise = None if row["noise_low"] is None else (row["noise_low"], row["noise_high"])
    base = {"workload": row["workload"], "quantity": row["quantity"], "proof": proof}
    base |= {"noise": noise, "rounds": row["rounds"]}
    if proof.state == "protocol":
        return Headline(**base, words="not a speed-up: the arm changes the protocol")
    if proof.state == "untested":
        return Headline(**base, words="not comparable: agreement was not tested")
    if row["verdict"] not in VERDICTS or row["measured"] is None:
        return Headline(**base, words=verdict(row))
    found = row["verdict"] != "no difference found"
    values = {key: row["measured" if key == "value" else key] for key in ("value", "low", "high")}
    return Headline(**base, **values, words=verdict(row), effect=found)


def held_back(head: Headline, told: Told, controls: Controls) -> Headline:
    """The headline, without a ratio if the tests behind its proof let a wrong twin pass."""
    if not controls.passed:
        return head
    wrong = ", ".join(told.name(arm).label for arm in controls.passed)
    words = f"{TOO_WEAK}: {wrong}, wrong on purpose, passes them"
    return replace(head, value=None, low=None, high=None, effect=False, words=words)


def cost_told(found: Headline | None, told: Told, baseline: str) -> str:
    """What the result costs beside the baseline, in a sentence."""
    ours, theirs = told.name(told.arm), told.name(baseline)
    if found is None:
        return f"{ours} was not measured beside {theirs}."
    where = f"workload {told.workload(found.workload)}"
    if found.value is None:
        return f"The arm {ours} has no ratio ({where}): {found.words}."
    times = "times the memory" if found.quantity == "tensor_peak_mb" else "times the time"
    size = ranged(found.value, found.low, found.high)
    words = "" if found.words == VERDICTS["less"] else f": {found.words}"
    aa = f"; {theirs} against itself {span(*found.noise)}" if found.noise else ""
    return f"The arm {theirs} takes {size} {times} of {ours} ({where}{aa}){words}."


def headlines(
    told: Told, pairs: Sequence[dict[str, Row]], costs: Sequence[Row], twins: Sequence[Row],
    baseline: str, strata: str,
) -> list[Headline]:  # fmt: skip
    """One for each workload that measured both, of its work or of its memory."""
    ours = {row["contestant"] for row in costs if row["arm"] == told.arm}
    return [
        headline(row, told, proof_of(told, twins, told.arm, strata, row["where"] or ""))
        for pair in pairs
        for quantity, row in pair.items()
        if row["slower"] == baseline and row["differs_in"] == "implementation"
        if quantity in HEADLINE and row["faster"] in ours
    ]


def refused(pairs: Sequence[dict[str, Row]], baseline: str) -> dict[str, str]:
    """Implementations that have no ratio in any workload, and the reason."""
    named: dict[str, str] = {}
    shown = set()
    for pair in pairs:
        for quantity, row in pair.items():
            if row["slower"] != baseline or row["differs_in"] != "implementation":
                continue
            if row["verdict"] in VERDICTS:
                shown.add(row["faster"])
            elif quantity in HEADLINE:
                named.setdefault(row["faster"], row["reason"] or row["verdict"])
    return {arm: reason for arm, reason in named.items() if arm not in shown}
