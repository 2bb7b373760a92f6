"""Panels of a figure, and lines told apart by shape and line as well as by colour.

A style is (marker, line, colour, filled).
"""

import math
from collections.abc import Iterable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from scripts.lib.figures import FIRST, INK, SECOND

Style = tuple
# The first lines of a figure differ most.
STYLES: list[Style] = [
    ("o", "-", FIRST, True),
    ("D", "--", SECOND, True),
    ("^", ":", INK, False),
    ("s", "-.", FIRST, False),
    ("v", (0, (5, 1, 1, 1, 1, 1)), SECOND, False),
    ("x", (0, (1, 1)), INK, True),
    ("P", "-", SECOND, True),
    ("p", "--", INK, False),
]
WIDTH = 7.5  # inches of a figure, so that text is as large in all of them


def styles_of(names: Iterable[str]) -> dict[str, Style]:
    """The style of each name, by the order of their appearance."""
    return {name: STYLES[i % len(STYLES)] for i, name in enumerate(dict.fromkeys(names))}


def draw(axes: Axes, x: np.ndarray, y: np.ndarray, style: Style, marked: bool = True) -> None:
    """A line of this style, with or without its marker."""
    marker, line, colour, filled = style
    axes.plot(x, y, ls=line, color=colour, lw=1.2, marker=marker if marked else "", ms=4, mew=1.1,
              mfc=colour if filled else "none")  # fmt: skip


def grid(
    count: int, columns: int, width: float, height: float, **shared
) -> tuple[Figure, list[Axes]]:
    """A figure with `count` panels of this size in inches, at most `columns` a row."""
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    figure = Figure(figsize=(width * columns, 0.5 + height * rows), layout="constrained")
    panes = list(figure.subplots(rows, columns, squeeze=False, **shared).ravel())
    for axes in panes[count:]:
        axes.set_axis_off()
    return figure, panes[:count]


def legend(figure: Figure, styles: dict[str, Style], marked: bool = True) -> None:
    """A legend of these styles below the figure."""
    lines = [
        Line2D([], [], ls=line, marker=marker if marked else "", color=colour, lw=1.2, ms=4,
               mew=1.1, mfc=colour if filled else "none")
        for marker, line, colour, filled in styles.values()
    ]  # fmt: skip
    figure.legend(
        lines, list(styles), loc="outside lower center", ncols=min(4, len(styles)), handlelength=2.6
    )
