"""The first screen: every study's headline ratio in one figure, and what stands beside it."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from scripts.lib.figures import FIRST, INK, SECOND, STYLE, inline_svg
from scripts.lib.numerals import ranged, span
from scripts.lib.page_figures import Drawing, drawing
from scripts.lib.page_tables import Table
from scripts.lib.provenance import shortened
from scripts.spine.chapters import Chapter
from scripts.spine.claims import Ledger
from scripts.spine.origins import origins, times

TITLE = "Cost of the reference over cost of the result"
TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
MARKS = {"good": "\N{CHECK MARK}", "bad": "\N{BALLOT X}", "open": "?"}


@dataclass(frozen=True)
class Bar:
    """A study in the figure: its ratio with interval and A/A interval, or the words for none.

    `controls`: what wrong twins say of the tests behind the badge.
    """

    title: str
    workload: str
    badge: str
    tone: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    noise: tuple[float, float] | None = None
    words: str = ""
    controls: str = ""

    @property
    def ratio(self) -> str:
        """The ratio as it is printed; why there is none, if there is none."""
        return ranged(self.value, self.low, self.high) if self.value is not None else "no ratio"

    @property
    def row(self) -> dict[str, Any]:
        """The row of headlines.csv."""
        return {
            "title": self.title, "workload": self.workload, "value": self.value, "low": self.low,
            "high": self.high, "ratio": self.ratio, "proof": self.badge,
            "controls": self.controls, "words": self.words,
        }  # fmt: skip


def bar(chapter: Chapter) -> Bar:
    """What the figure shows of a study."""
    head = chapter.headline
    if head is None:
        return Bar(chapter.title, "", "not measured", "open", words="not measured")
    proof = head.proof
    level = f" ({proof.level})" if proof.level else ""
    tone = proof.badge.tone
    if tone == "good" and not chapter.controls.found:
        tone = "open"  # nothing has shown that the tests find what is wrong
    return Bar(
        chapter.title, str(chapter.told.workload(head.workload)), f"{proof.badge}{level}",
        tone, head.value, head.low, head.high,
        head.noise, head.words, chapter.controls.words,
    )  # fmt: skip


def reach(bars: Sequence[Bar]) -> tuple[float, float]:
    """Ends of the axis: all intervals and 1, with room."""
    ends = [end for one in bars if one.value is not None for end in (one.low, one.high, one.value)]
    ends += [end for one in bars for end in one.noise or ()]
    return 0.8 * min([*ends, 0.9]), 1.3 * max([*ends, 2.0])


@mpl.rc_context(STYLE | {"font.size": 9})
def ratios(bars: Sequence[Bar], narrow: bool = False) -> str:
    """SVG of a row per study on one log axis: interval, A/A band, badge; for phones if narrow."""
    if not bars:
        return ""
    width, row = (3.9, 0.85) if narrow else (6.4, 0.66)
    figure = Figure(figsize=(width, 0.6 + row * len(bars)), layout="constrained")
    axes = figure.subplots()
    low, high = reach(bars)
    axes.set(xscale="log", xlim=(low, high), ylim=(len(bars) - 0.55, -0.85 if narrow else -0.55))
    told = [f"{TITLE}{', narrow' if narrow else ''}"]
    for at, one in enumerate(bars):
        draw(axes, at, one, narrow)
        badge = f"{MARKS[one.tone]} {one.badge}"
        if narrow:
            note(axes, (0, at - 0.48), f"{one.title}: {one.ratio}", weight="bold")
            note(axes, (0, at - 0.21), ", ".join(filter(None, (badge, one.controls))), fontsize=8)
        else:
            note(axes, (1.02, at - 0.24), one.ratio, weight="bold")
            note(axes, (1.02, at + 0.06), badge, fontsize=8)
            note(axes, (1.02, at + 0.3), one.controls, fontsize=8)
        aa = f", A/A {span(*one.noise)}" if one.noise else ""
        told.append(f"{one.title}, {one.workload}: {one.ratio}{aa}, {one.badge}, {one.controls}")
    places = [f"({one.workload})" if one.workload else "" for one in bars]
    names = [
        "\n".join([*textwrap.wrap(one.title, 18), place]).strip()
        for one, place in zip(bars, places, strict=True)
    ]
    axes.set_yticks(range(len(bars)), ["" for _ in bars] if narrow else names)
    axes.tick_params(axis="y", length=0)
    ticks = [tick for tick in TICKS if low <= tick <= high]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("cost of the reference / cost of the result")
    return inline_svg(figure, "; ".join(told))


def draw(axes: Axes, at: int, one: Bar, narrow: bool) -> None:
    """A ratio with its interval over the A/A band, or a cross at 1 where there is none."""
    axes.plot([1, 1], [at - 0.15, at + 0.15] if narrow else [at - 0.5, at + 0.5], color=INK, lw=0.8)
    if one.noise:
        axes.barh(at, one.noise[1] - one.noise[0], 0.3, one.noise[0], color=INK, alpha=0.22)
    if one.value is None:
        axes.plot(1, at, "x", color=SECOND, ms=7, mew=1.8)
        return
    colour, marker = (SECOND, "D") if one.value < 1 else (FIRST, "o")
    axes.plot([one.low, one.high], [at, at], color=colour, lw=3)
    axes.plot(one.value, at, marker, color=colour, ms=7)


def note(axes: Axes, at: tuple[float, float], text: str, **style: Any) -> None:
    """Words at a share of the width, in a row."""
    place = ("axes fraction", "data")
    axes.annotate(text, at, xycoords=place, va="center", annotation_clip=False, **style)


@dataclass(frozen=True)
class Overview:
    """Values of the first screen; `drawings`: `bars` as figure for wide and for narrow windows.

    `made`: date, processor, platform, commit and state of the tree of the measurements.
    """

    bars: Sequence[Bar]
    drawings: Mapping[str, Drawing]
    ledger: Ledger
    made: Mapping[str, Any]
    limits: Sequence[str]
    contended: Sequence[str]
    origins: Table
    times: Table


def overview(chapters: Sequence[Chapter], ledger: Ledger) -> Overview:
    """The first screen of these chapters."""
    bars = [bar(chapter) for chapter in chapters]
    drawings = {
        name: drawing(f"overview-{name}", ratios(bars, name == "narrow"), {}, "ratios.csv")
        for name in ("wide", "narrow")
    }
    sources = [source for chapter in chapters for source in chapter.sources.values()]
    made = max(sources, key=lambda source: source["date"]) if sources else {}
    made = made | {"commit": shortened(made.get("commit", ""))}
    machines = dict.fromkeys(f"{s['processor']}, {s['platform']}" for s in sources)
    devices = {row["device"] for c in chapters for row in c.tables["units"].rows}
    limits = [
        f"Times come from {'; '.join(machines)}; another processor may rank the arms differently.",
        "No unit ran on a GPU, and no GPU was measured."
        if devices <= {"cpu"}
        else f"Devices used: {', '.join(sorted(devices))}.",
        "Passing an agreement test means that the difference lies inside the declared margin, not "
        "that there is none.",
    ]
    if ledger.open:
        recorded = f", {ledger.recorded} of them stand here as a record has them"
        limits.append(
            f"{ledger.open} of {ledger.all} claims were not measured in this run"
            f"{recorded if ledger.recorded else ''}.",
        )
    contended = [chapter.title for chapter in chapters if chapter.contended]
    if len(contended) == len(chapters) > 1:
        contended = ["all studies"]
    tables = origins(chapters), times(chapters)
    return Overview(bars, drawings, ledger, made, limits, contended, *tables)
