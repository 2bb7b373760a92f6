"""Figures of the outcome: test accuracy of chosen configurations, the source's faults."""

import matplotlib as mpl
import numpy as np
import pandas as pd

from scripts.lib.figures import FIRST, INK, SECOND, STYLE, inline_svg
from scripts.lib.panels import WIDTH, grid, legend
from scripts.tep_bp.outcome.panels import interval, series


@mpl.rc_context(STYLE)
def accuracy_by_rank(repeats: pd.DataFrame) -> str:
    """SVG of the test accuracy of the top configurations with its interval; "" if none.

    Rank 1 is the configuration that validation chose. Configurations without a mean are left out.
    """
    shown = repeats[repeats["test_accuracy"].notna()]
    if shown.empty:
        return ""
    rules = list(shown["rule"].unique())
    looks, shifts = series(rules), np.linspace(-0.2, 0.2, len(rules)) if len(rules) > 1 else [0.0]
    figure, (axes,) = grid(1, 1, WIDTH, 2.6)
    told = ["Mean test accuracy of the configurations by their rank in validation"]
    for shift, (rule, rows) in zip(shifts, shown.groupby("rule", sort=False), strict=True):
        for row in rows.itertuples():
            x = row.rank + 1 + shift
            interval(axes, [x, x], [row.low, row.high], (x, row.test_accuracy), looks[rule])
            told.append(f"{rule} rank {row.rank + 1}: {row.test_accuracy:.4f}"
                        f" ({row.low:.4f} to {row.high:.4f})")  # fmt: skip
    ranks = sorted(shown["rank"].unique() + 1)
    axes.set_xticks(ranks, [str(rank) for rank in ranks])
    axes.set(xlabel="rank in validation", ylabel="test accuracy")
    axes.axvspan(0.5, 1.5, color=INK, alpha=0.06, lw=0)
    axes.set_xlim(0.5, max(ranks) + 0.5)
    legend(figure, {rule: (look[0], "", *look[2:]) for rule, look in looks.items()})
    return inline_svg(figure, "; ".join(told))


@mpl.rc_context(STYLE)
def ranges_by_arm(legacy: pd.DataFrame) -> str:
    """SVG of quartiles, median and best trial of each arm, in their order; "" if none.

    Bar: the middle half of the trials; filled mark: median; open mark: best.
    """
    shown = legacy[legacy["median"].notna()]
    if shown.empty:
        return ""
    figure, (axes,) = grid(1, 1, WIDTH, 0.3 + 0.3 * len(shown))
    told = ["Validation accuracy over the same trials"]
    for at, row in enumerate(shown.itertuples()):
        colour = FIRST if row.role == "result" else SECOND
        width = row.upper_quartile - row.lower_quartile
        axes.barh(at, width, 0.55, row.lower_quartile, color=colour, alpha=0.3)
        axes.plot(row.median, at, "D", color=colour, ms=5)
        axes.plot(row.best, at, "o", color=colour, mfc="none", ms=5, mew=1.1)
        axes.annotate(f"{row.median:.3f}", (row.median, at), (0, 6), textcoords="offset points",
                      ha="center", fontsize=7)  # fmt: skip
        told.append(f"{row.arm}: median {row.median:.3f}, quartiles {row.lower_quartile:.3f} to"
                    f" {row.upper_quartile:.3f}, best {row.best:.3f}")  # fmt: skip
    axes.set_yticks(range(len(shown)), shown["arm"])
    axes.set(xlim=(0, 1), ylim=(len(shown) - 0.5, -0.7), xlabel="validation accuracy")
    axes.tick_params(axis="y", length=0)
    return inline_svg(figure, "; ".join(told))
