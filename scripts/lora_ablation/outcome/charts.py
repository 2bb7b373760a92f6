"""Figures of the study: tables of its outcome as SVG text, in the colours of the page around it."""

import math

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from scripts.lib.figures import FIRST, INK, SECOND, STYLE, inline_svg, is_wide
from scripts.lib.numerals import ranged, written
from scripts.lora_ablation.outcome.drops import compared
from scripts.lora_ablation.outcome.grid import FULL

# Marker, colour and fill of a selection; shape and fill tell them apart without the colour.
STYLES = {
    "all": ("o", INK, True),
    "visual": ("D", FIRST, True),
    "text": ("^", SECOND, True),
    "half": ("o", INK, False),
}
OTHER = ("s", SECOND, False)
TRAINING = ("^", SECOND, False)
# Columns of a value and its interval.
ACCURACY = ["accuracy", "boot_low", "boot_high"]
DROP = ["drop", "low", "high"]


def draw_interval(axes: Axes, span: pd.Series, at: float, style: tuple) -> None:
    """A mark at height `at` for a value with its interval (value, low, high), which may be NaN."""
    (value, low, high), (marker, colour, filled) = span, style
    if math.isfinite(low):
        axes.plot([low, high], [at, at], color=colour, lw=1.2)
    axes.plot(value, at, marker, color=colour, mfc=colour if filled else "none", ms=4.5, mew=1.1)


def in_words(span: pd.Series) -> str:
    """A value and its interval, e.g. "0.512 (0.471 to 0.554)"."""
    value, low, high = span
    return ranged(value, low, high, written("{:.3g}"))


def list_down(axes: Axes, names: list[str]) -> None:
    """Names on the y axis from the top down, one unit each."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    for edge in np.arange(0.5, len(names) - 1):
        axes.axhline(edge, color=INK, alpha=0.15, lw=0.5)


def legend(figure: Figure, styles: dict[str, tuple]) -> None:
    """A legend of styles below the figure."""
    lines = [
        Line2D([], [], ls="", marker=marker, color=colour, ms=4.5, mew=1.1,
               mfc=colour if filled else "none")
        for marker, colour, filled in styles.values()
    ]  # fmt: skip
    figure.legend(lines, list(styles), loc="outside lower center", ncols=len(styles))


@mpl.rc_context(STYLE)
def accuracy_by_selection(grid: pd.DataFrame) -> str:
    """SVG of test accuracy with its bootstrap interval, selections below each other; "" if none.

    Only cells trained on all training rows. A dashed line marks chance.
    """
    cells = grid[grid["share"] == FULL]
    if cells.empty:
        return ""
    names, layers = list(cells["representation"].unique()), list(cells["layers"].unique())
    shifts = dict(zip(layers, np.linspace(-0.3, 0.3, len(layers)), strict=True))
    figure = Figure(figsize=(7.2, 0.8 + 0.13 * len(names) * len(layers)), layout="constrained")
    axes = figure.subplots()
    chance = cells["chance"].iloc[0]
    axes.axvline(chance, color=INK, lw=0.8, ls="--")
    axes.annotate("chance", (chance, 1), (2, 1), xycoords=("data", "axes fraction"),
                  textcoords="offset points", fontsize=7, va="bottom")  # fmt: skip
    alt_text, styles = [f"Test accuracy; chance {chance:.3g}"], {}
    for _, row in cells.iterrows():
        kind = row["layers"].rstrip("0123456789")
        styles["random half" if kind == "half" else kind] = style = STYLES.get(kind, OTHER)
        at = names.index(row["representation"]) + shifts[row["layers"]]
        draw_interval(axes, row[ACCURACY], at, style)
        alt_text.append(f"{row['representation']} {row['layers']}: {in_words(row[ACCURACY])}")
    list_down(axes, names)
    axes.set_xlabel("test accuracy")
    legend(figure, styles)
    return inline_svg(figure, "; ".join(alt_text))


@mpl.rc_context(STYLE)
def drop_forest(drops: pd.DataFrame) -> str:
    """SVG of drops in accuracy with paired intervals; "" if none.

    Left all minus visual (`compared`), right, on the same scale, mean of the random halves minus
    visual.
    """
    part = compared([contrast.partition("-")[2] for contrast in drops["contrast"].unique()])
    panels = [name for name in (f"all-{part}", f"half-{part}") if name in set(drops["contrast"])]
    if not panels:
        return ""
    shown = drops[drops["contrast"].isin(panels)]
    names = list(shown["representation"].unique())
    figure = Figure(figsize=(7.2, 0.8 + 0.24 * len(names)), layout="constrained")
    titles = {f"all-{part}": f"all minus {part}", f"half-{part}": f"random halves minus {part}"}
    styles = {f"all-{part}": ("o", FIRST, True), f"half-{part}": ("D", SECOND, False)}
    alt_text = ["Drop in test accuracy"]
    panes = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
    for axes, contrast in zip(panes, panels, strict=True):
        axes.axvline(0, color=INK, lw=0.8)
        for _, row in shown[shown["contrast"] == contrast].iterrows():
            at = names.index(row["representation"])
            draw_interval(axes, row[DROP], at, styles[contrast])
            alt_text.append(f"{row['representation']} {titles[contrast]}: {in_words(row[DROP])}")
        list_down(axes, names)
        axes.set(title=titles[contrast], xlabel="drop in test accuracy")
    return inline_svg(figure, "; ".join(alt_text))


@mpl.rc_context(STYLE)
def class_dots(classes: pd.DataFrame, representation: str) -> str:
    """SVG of one representation's recall by class and its drop with interval; "" if none.

    Classes by decreasing drop; left recall with all and with visual tensors (`compared`), right the
    drop.
    """
    recalls = [name.removeprefix("recall_") for name in classes if name.startswith("recall_")]
    part = next(name for name in recalls if name != "all")
    rows = classes[classes["representation"] == representation]
    rows = rows.sort_values(["drop", "label"], ascending=[False, True])
    if rows.empty:
        return ""
    figure = Figure(figsize=(7.2, 0.9 + 0.22 * len(rows)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    right.axvline(0, color=INK, lw=0.8)
    alt_text = [f"Recall by class, {representation}"]
    for at, (_, row) in enumerate(rows.iterrows()):
        ends = [row[f"recall_{part}"], row["recall_all"]]
        left.plot(ends, [at, at], color=INK, alpha=0.4, lw=1)
        for layers, end in zip(("visual", "all"), ends, strict=True):
            marker, colour, _ = STYLES[layers]
            left.plot(end, at, marker, color=colour, ms=4.5)
        draw_interval(right, row[DROP], at, STYLES["visual"])
        words = f"all {ends[1]:.3g}, {part} {ends[0]:.3g}, drop {in_words(row[DROP])}"
        alt_text.append(f"{row['label']}: {words}")
    list_down(left, [f"{row.label} ({row.n_test})" for row in rows.itertuples()])
    left.set(xlabel="recall", xlim=(-0.03, 1.03), title=f"{representation}: recall")
    right.set(xlabel="drop in recall", title=f"all minus {part}")
    right.tick_params(axis="y", length=0)
    legend(figure, {"all": STYLES["all"], part: STYLES["visual"]})
    return inline_svg(figure, "; ".join(alt_text))


@mpl.rc_context(STYLE)
def learning_curves(curve: pd.DataFrame) -> str:
    """SVG of test and training accuracy against training rows, a panel per representation.

    "" if no representation was trained on two sizes. Bars: bootstrap interval over test rows.
    """
    sizes = curve.groupby("representation")["n_train"].transform("nunique")
    shown = curve[sizes > 1]
    names = list(shown["representation"].unique())
    if not names:
        return ""
    columns = min(3, len(names))
    height = math.ceil(len(names) / columns)
    figure = Figure(figsize=(0.6 + 2.2 * columns, 0.6 + 1.5 * height), layout="constrained")
    panes = figure.subplots(height, columns, sharex=True, sharey=True, squeeze=False).ravel()
    levels = np.sort(shown["n_train"].unique())
    alt_text = ["Learning curves, accuracy by training rows"]
    for axes, name in zip(panes, names, strict=False):
        part = shown[shown["representation"] == name]
        at, (marker, colour, _) = part["n_train"], TRAINING
        axes.plot(at, part["train_accuracy"], f"{marker}--", color=colour, mfc="none", ms=4.5, lw=1)
        axes.plot(at, part["accuracy"], "-", color=FIRST, lw=1.2)
        for _, row in part.iterrows():
            axes.vlines(row["n_train"], row["boot_low"], row["boot_high"], color=FIRST, lw=1.2)
            axes.plot(row["n_train"], row["accuracy"], "o", color=FIRST, ms=4)
            words = f"test {in_words(row[ACCURACY])}, training {row['train_accuracy']:.3g}"
            alt_text.append(f"{name}, {row['n_train']:g} rows: {words}")
        axes.set_title(name)
        axes.tick_params(labelbottom=True)
    for axes in panes[max(0, len(names) - columns) : len(names)]:
        axes.set_xlabel("training rows")
    for axes in panes[len(names) :]:
        axes.set_axis_off()
    panes[0].set(xscale="log" if is_wide(levels, 3) else "linear")
    panes[0].set_xticks(levels, [f"{level:g}" for level in levels])
    panes[0].xaxis.set_minor_locator(NullLocator())
    figure.supylabel("accuracy", fontsize=8)
    legend(figure, {"on the training rows": TRAINING, "on the test rows": ("o", FIRST, True)})
    return inline_svg(figure, "; ".join(alt_text))
