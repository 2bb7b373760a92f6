"""Line styles and axes of the figures: lines differ in shape and dashes as well as in colour."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter

from scripts.lib.panels import STYLES, Style
from scripts.lib.panels import styles_of as by_order

# The same in every figure.
RULES = dict(zip(("tep", "bp", "rbp"), STYLES, strict=False))


def styles_of(names: list[str]) -> dict[str, Style]:
    """The style of each name: a rule's own, else by the order of their appearance."""
    of_rules = set(names) <= set(RULES)
    return {name: RULES[name] for name in dict.fromkeys(names)} if of_rules else by_order(names)


def interval(axes: Axes, x: list, y: list, centre: tuple, style: Style) -> None:
    """A line from (x[0], y[0]) to (x[1], y[1]), if it is finite, and the mark at its centre."""
    marker, _, colour, filled = style
    if np.isfinite([*x, *y]).all():
        axes.plot(x, y, color=colour, lw=1.2)
    axes.plot(*centre, marker, color=colour, mfc=colour if filled else "none", ms=4.5, mew=1.1)


def logarithmic(axes: Axes, which: str) -> None:
    """A log scale on "x" or "y" of what was drawn, with ticks as plain numbers.

    SVG text has no superscripts. Less than two decades have ticks at 1, 2 and 5.
    """
    axes.set(**{f"{which}scale": "log"})
    axis = getattr(axes, f"{which}axis")
    low, high = getattr(axes, f"get_{which}lim")()
    if high < 100 * low:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter("{x:.4g}")
    axis.set_minor_formatter(NullFormatter())


def widths_on_x(axes: Axes, widths: list[int]) -> None:
    """Widths on a logarithmic x axis, each with its tick."""
    logarithmic(axes, "x")
    axes.set_xlabel("width (hidden units)")
    axes.set_xticks(widths, [str(width) for width in widths])
    axes.set_xticks([], minor=True)
