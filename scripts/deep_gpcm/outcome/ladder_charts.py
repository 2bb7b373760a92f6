"""Figures of the implementations: the ladder of their costs, and curves that must coincide."""

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from scripts.lib.figures import FIRST, INK, SECOND, STYLE, inline_svg
from scripts.lib.panels import WIDTH, grid, legend

CURVES = {"loss": "training loss", "val_nll": "validation NLL"}
COINCIDE = 1e-4  # largest difference of the epoch's loss that the eye cannot see
STYLES = {
    "reference": ("", "-", INK, True),
    "coincides": ("", "--", FIRST, True),
    "differs": ("", ":", SECOND, True),
    "no reference here": ("", "-.", INK, True),
}
BADGES = {True: "agrees", False: "FAILS"}


def badge(row: pd.Series) -> str:
    """What stands beside a bar: whether the arm agrees with the reference."""
    if pd.isna(row["agrees"]):
        return "A/A" if not pd.isna(row["ratio"]) else "not tested"
    return BADGES[str(row["agrees"]) == "True"]


def ratio_rows(axes: Axes, rows: pd.DataFrame) -> list[str]:
    """Bars of the ratios of one workload from the top down; returns them in words."""
    alt_text = []
    for at, (_, row) in enumerate(rows.iterrows()):
        agrees, found = badge(row), not pd.isna(row["ratio"])
        words = (
            f"{row['ratio']:#.3g} ({row['low']:#.3g} to {row['high']:#.3g})"
            if found
            else "no ratio"
        )
        alt_text.append(f"{row['workload']} {row['contestant']}: {words}, {agrees}")
        end = 1.0
        if found:
            colour = FIRST if agrees == "agrees" else INK
            axes.barh(at, row["ratio"] - 1, 0.6, 1, color=colour, alpha=0.45)
            axes.plot([row["low"], row["high"]], [at, at], color=INK, lw=1)
            end = max(row["ratio"], row["high"], 1.0)
        colour = SECOND if agrees == "FAILS" else INK
        axes.annotate(f"{words.split(' (')[0]}, {agrees}", (end, at), (4, 0), va="center",
                      textcoords="offset points", fontsize=7, color=colour)  # fmt: skip
    return alt_text


@mpl.rc_context(STYLE)
def ratio_bars(ladder: pd.DataFrame) -> str:
    """SVG of the reference's cost over that of each implementation, log axis; "" if none.

    A panel per workload; only arms that agree with the reference have a bar.
    """
    shown = ladder[ladder["verdict"].notna()]
    panels = list(shown.groupby("workload", sort=False))
    if not panels:
        return ""
    sizes = [len(rows) for _, rows in panels]
    height = 0.5 + 0.22 * np.mean(sizes)
    ratios = {"height_ratios": sizes}
    figure, panes = grid(len(panels), 1, WIDTH, height, sharex=True, gridspec_kw=ratios)
    reach = shown[["ratio", "low", "high"]].max().max()
    alt_text = ["Cost of the baseline over cost of the contestant"]
    for axes, (workload, rows) in zip(panes, panels, strict=True):
        axes.axvline(1, color=INK, lw=0.8)
        alt_text += ratio_rows(axes, rows)
        memory = (rows["quantity"] == "tensor_peak_mb").all()
        axes.set_yticks(range(len(rows)), rows["contestant"])
        axes.set(xscale="log", ylim=(len(rows) - 0.5, -0.5))
        axes.set_title(f"{workload}: {'peak memory of tensors' if memory else 'time of a step'}")
        axes.tick_params(axis="y", length=0)
    low = min(0.8, shown[["ratio", "low"]].min().min())
    panes[0].set_xlim(0.9 * low, 2.5 * (reach if reach > 1 else 1))
    ticks = [
        tick for tick in (0.25, 0.5, 1, 2, 5, 10, 20, 50, 100) if low <= tick <= reach or tick == 1
    ]
    panes[0].set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    panes[0].xaxis.set_minor_locator(NullLocator())
    panes[-1].set_xlabel("cost of the baseline over cost of the contestant")
    return inline_svg(figure, "; ".join(alt_text))


def kind_of(arm: str, difference: float) -> str:
    """How a learning curve is drawn: a key of STYLES."""
    if arm == "reference":
        return arm
    if pd.isna(difference):
        return "no reference here"
    return "coincides" if difference <= COINCIDE else "differs"


@mpl.rc_context(STYLE)
def learning_curves(learning: pd.DataFrame) -> str:
    """SVG of training loss and validation NLL by epoch, a row per data set; "" if none.

    The reference is wide; curves that coincide with it lie on it, the others are named.
    """
    names = list(learning["data"].unique())
    if not names:
        return ""
    figure, panes = grid(2 * len(names), 2, WIDTH / 2, 1.9)
    alt_text, present = ["Learning curves, mean over folds of the first and last epoch"], set()
    for place, (data, part) in enumerate(learning.groupby("data", sort=False)):
        ends = {curve: [] for curve in CURVES}
        for arm, rows in part.groupby("arm", sort=False):
            largest = rows["loss_difference"].max()
            kind = kind_of(arm, largest)
            present.add(kind)
            _, line, colour, _ = STYLES[kind]
            width = 2.4 if kind == "reference" else 1.2
            for row, curve in enumerate(CURVES):
                axes = panes[2 * place + row]
                axes.plot(rows["epoch"], rows[curve], line, color=colour, lw=width)
                if kind not in ("reference", "coincides"):
                    ends[curve].append((rows[curve].iloc[-1], arm))
            first, last = rows.iloc[0], rows.iloc[-1]
            words = f"loss {first['loss']:.3f} to {last['loss']:.3f}, "
            words += f"validation NLL {first['val_nll']:.3f} to {last['val_nll']:.3f}"
            off = "" if pd.isna(largest) else f", largest difference of loss {largest:.1e}"
            alt_text.append(f"{data} {arm}: {words}{off}")
        for row, (curve, label) in enumerate(CURVES.items()):
            axes = panes[2 * place + row]
            name_ends(axes, part["epoch"].max(), ends[curve])
            axes.set(title=data, ylabel=label, xlabel="epoch" if place + 1 == len(names) else "")
    legend(figure, {kind: style for kind, style in STYLES.items() if kind in present}, marked=False)
    return inline_svg(figure, "; ".join(alt_text))


def name_ends(axes: Axes, x: float, ends: list[tuple[float, str]]) -> None:
    """Names at the right ends of curves, moved apart where they would overlap."""
    low, high = axes.get_ylim()
    apart = 0.075 * (high - low)
    at = -np.inf
    for y, name in sorted(ends):
        at = max(y, at + apart)
        axes.annotate(name, (x, at), (3, 0), textcoords="offset points", va="center", fontsize=7)
    if ends:
        axes.set_xticks([tick for tick in axes.get_xticks() if 0 <= tick <= x])
        axes.set_xlim(right=1.3 * x)
