"""Panels of a figure, and lines told apart by shape and line as well as by colour.

A look is (marker, line, colour, filled).
"""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

WIDTH = 7.5  # inches of a figure, so that text is as large in all of them


def draw(axes: Axes, x: np.ndarray, y: np.ndarray, look: tuple, marked: bool = True) -> None:
    """A line of this look, with or without its marker."""
    marker, line, colour, filled = look
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


def legend(figure: Figure, looks: dict[str, tuple], marked: bool = True) -> None:
    """A legend of these looks below the figure."""
    lines = [
        Line2D([], [], ls=line, marker=marker if marked else "", color=colour, lw=1.2, ms=4,
               mew=1.1, mfc=colour if filled else "none")
        for marker, line, colour, filled in looks.values()
    ]  # fmt: skip
    figure.legend(
        lines, list(looks), loc="outside lower center", ncols=min(4, len(looks)), handlelength=2.6
    )
