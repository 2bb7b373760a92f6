"""Tables as inline SVG text that takes its ink and series colours from the page around it.

The page defines the CSS variables `--ink`, `--first` and `--second`, so one figure reads on light
and on dark paper. Text stays text; every figure carries its numbers as its accessible name.
"""

import html
import io
import math
import re

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from scripts.lib.stats import mean

# matplotlib wants colours it can parse; these become CSS variables in the SVG text.
INK, FIRST, SECOND = "#010203", "#010204", "#010205"
VARIABLES = {INK: "var(--ink)", FIRST: "var(--first)", SECOND: "var(--second)"}
# Paul Tol's "light" scheme: meant to be written on in black, distinct to the colour-blind.
FILLS = ["#77AADD", "#EE8866", "#EEDD88", "#FFAABB", "#99DDFF", "#44BB99", "#BBCC33", "#DDDDDD"]
STYLE = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 8,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
}


def inline_svg(figure: Figure, description: str) -> str:
    """The figure as an <svg> element named `description`; no id of it occurs in another one."""
    buffer = io.StringIO()
    # The salt makes the remaining ids (markers, clip paths) differ between figures, not runs.
    with mpl.rc_context({"svg.hashsalt": description}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*"', "<g", text[text.index("<svg") :])
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, variable)
    name = html.escape(description)
    return text.replace("<svg ", f'<svg role="img" aria-label="{name}" ', 1)


def is_wide(values: np.ndarray, factor: float) -> bool:
    """Whether positive values span more than `factor`, so that a log scale serves them better."""
    return bool(values.min() > 0 and values.max() > factor * values.min())


def positions(levels: list) -> dict:
    """Where each level of the x axis goes, in [0, 1]: linear, log if wide, in order if text."""
    if isinstance(levels[0], str):
        at = np.arange(len(levels), dtype=float)
    else:
        at = np.asarray(levels, float)
        at = np.log(at) if is_wide(at, 5) else at
    return dict(zip(levels, (at - at[0]) / (at[-1] - at[0] or 1.0), strict=True))


def draw_series(axes, values: np.ndarray, at: float, second: bool) -> str:
    """Mean and +-1.96 MCSE beside `at`, the dots on its other side; returns the mean in words."""
    colour, side = (SECOND, 1) if second else (FIRST, -1)
    estimate, centre = mean(values), at + 0.035 * side
    jitter = np.random.default_rng(0).uniform(-0.025, 0.025, len(values))
    axes.plot(centre + 0.065 * side + jitter, values, ".", color=colour, alpha=0.4, ms=5, mew=0)
    if math.isfinite(estimate.mcse):
        axes.plot([centre, centre], [estimate.low, estimate.high], color=colour, lw=1.3)
    marker, face = ("D", "none") if second else ("o", colour)
    axes.plot(centre, estimate.value, marker, color=colour, mfc=face, ms=4.5, mew=1.1)
    return f"{estimate.value:.3g} ({estimate.n} units)"


@mpl.rc_context(STYLE)
def replication_panels(
    runs: pd.DataFrame, arms: list[str], panel: str, x: str, metric: str, label: str
) -> list[str]:
    """One SVG per value of `panel`, on common axes: every finished unit's `metric` against `x`.

    The first arm is drawn in filled circles, the second in open diamonds. The y axis is
    logarithmic if all values are positive and span a factor of 50; an interval that reaches
    zero is then cut at the frame.
    """
    if metric not in runs:  # announced, but of no arm that ran
        return []
    finished = runs[runs["arm"].isin(arms) & (runs["status"] == "ok")].dropna(subset=[metric])
    if finished.empty:
        return []
    values = finished[metric].to_numpy(float)
    at, log = positions(sorted(finished[x].unique())), is_wide(values, 50)
    low, high = values.min(), values.max()
    room = 0.06 * (high - low or 1.0)
    limits = (low / 1.5, high * 1.5) if log else (low - room, high + room)
    drawn = []
    for value, part in finished.groupby(panel, sort=False):
        figure = Figure(figsize=(2.1, 2.3), layout="constrained")
        axes = figure.subplots()
        axes.set_yscale("log" if log else "linear")
        title = value if isinstance(value, str) else f"{panel} {value}"
        told = [f"{title}, mean {label}"]
        for (arm, level), group in part.groupby(["arm", x], sort=False):
            found = draw_series(axes, group[metric].to_numpy(float), at[level], arm != arms[0])
            told.append(f"{arm} at {x} {level}: {found}")
        axes.set(xlim=(-0.18, 1.18), ylim=limits, title=title, xlabel=x, ylabel=label)
        axes.set_xticks(list(at.values()), [str(level) for level in at])
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
        drawn.append(inline_svg(figure, "; ".join(told)))
    return drawn


def phase_seconds(measured: pd.DataFrame, workload: str, phases: list[str]) -> pd.DataFrame:
    """Seconds of each phase by contestant of a workload, summed over rounds and processes."""
    columns = [f"{phase}_s" for phase in phases]
    # A phase that no contestant has took none of them any time.
    measured = measured.reindex(columns=["workload", "contestant", *columns], fill_value=0.0)
    rows = measured[measured["workload"] == workload].groupby("contestant", sort=False)
    return rows[columns].sum().set_axis(phases, axis=1)


@mpl.rc_context(STYLE)
def stacked_shares(parts: pd.DataFrame) -> str:
    """SVG of one horizontal bar per row of `parts`: the columns' shares of the row's sum.

    Parts are numbered in the order of the columns; a number is printed where it has room.
    """
    if parts.empty:
        return ""
    shares = parts.div(parts.sum(axis=1).replace(0, 1), axis=0)
    figure = Figure(figsize=(7.6, 0.7 + 0.3 * len(shares)), layout="constrained")
    axes = figure.subplots()
    left, rows = np.zeros(len(shares)), np.arange(len(shares))
    for number, (part, widths) in enumerate(shares.items(), start=1):
        name, fill = f"{number} {part}", FILLS[(number - 1) % len(FILLS)]
        bars = axes.barh(rows, widths, 0.78, left, color=fill, edgecolor=INK, lw=0.5, label=name)
        room = [name if w > 0.012 * len(name) else number if w > 0.02 else "" for w in widths]
        axes.bar_label(bars, room, label_type="center", color="#111111", fontsize=7)
        left += widths.to_numpy()
    axes.set_yticks(rows, shares.index)
    axes.set_xticks(np.linspace(0, 1, 6), [f"{tick} %" for tick in range(0, 101, 20)])
    axes.set_xlim(0, 1)
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    figure.legend(loc="outside lower center", ncols=math.ceil(shares.shape[1] / 2), handlelength=1)
    told = [
        f"{name}: " + ", ".join(f"{part} {share:.0%}" for part, share in row.items())
        for name, row in shares.iterrows()
    ]
    return inline_svg(figure, "; ".join(told))
