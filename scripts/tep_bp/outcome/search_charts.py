"""Figures of the search: what a budget buys, spread of trials, where they do well, the best."""

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.patches import Rectangle

from scripts.lib.figures import FIRST, INK, STYLE, inline_svg
from scripts.lib.panels import WIDTH, draw, grid, legend
from scripts.tep_bp.outcome.styles import interval, logarithmic, styles_of

VIEWS = {"trials": "trials", "cpu_s": "CPU-seconds", "flops": "FLOPs"}


@mpl.rc_context(STYLE)
def anytime_curves(anytime: pd.DataFrame) -> str:
    """SVG of the expected best of n trials with its band, a panel per budget; "" if none."""
    views = [view for view in VIEWS if (anytime[view] > 0).any()]
    if anytime.empty or not views:
        return ""
    styles = styles_of(list(anytime["rule"]))
    figure, panes = grid(len(views), 3, WIDTH / len(views), 2.4, sharey=True)
    alt_text = ["Expected best validation accuracy of n trials"]
    for axes, view in zip(panes, views, strict=True):
        for rule, curve in anytime.groupby("rule", sort=False):
            draw(axes, curve[view], curve["value"], styles[rule], marked=False)
            colour = styles[rule][2]
            axes.fill_between(curve[view], curve["low"], curve["high"], color=colour, alpha=0.15,
                              lw=0)  # fmt: skip
        logarithmic(axes, "x")
        axes.set_xlabel(VIEWS[view])
    # The lower end of a band of single trials would leave no room for the rest.
    floor = anytime["value"].min()
    panes[0].set_ylim(floor - 0.1 * (1 - floor), min(1.0, anytime["high"].max() + 0.01))
    panes[0].set_ylabel("validation accuracy")
    for rule, curve in anytime.groupby("rule", sort=False):
        some = curve.iloc[sorted({0, len(curve) // 2, len(curve) - 1})]
        alt_text += [f"{rule} n {row.trials}: {row.value:.3f} ({row.low:.3f} to {row.high:.3f})"
                 for row in some.itertuples()]  # fmt: skip
    legend(figure, styles, marked=False)
    return inline_svg(figure, "; ".join(alt_text))


@mpl.rc_context(STYLE)
def distribution_steps(distribution: pd.DataFrame) -> str:
    """SVG of the share of trials with at most an accuracy, one step line per rule; "" if none."""
    if distribution.empty:
        return ""
    styles = styles_of(list(distribution["rule"]))
    figure, (axes,) = grid(1, 1, WIDTH, 2.5)
    alt_text = ["Share of trials with at most this validation accuracy"]
    for rule, steps in distribution.groupby("rule", sort=False):
        _, line, colour, _ = styles[rule]
        axes.step(
            steps["val_accuracy"], steps["share"], where="post", ls=line, color=colour, lw=1.2
        )
        reached = [steps.loc[steps["share"] >= share].iloc[0] for share in (0.25, 0.5, 1.0)]
        alt_text += [f"{rule} {row['share']:.0%} at {row['val_accuracy']:.3f}" for row in reached]
    axes.set(xlabel="validation accuracy", ylabel="share of trials", ylim=(0, 1.02))
    legend(figure, styles, marked=False)
    return inline_svg(figure, "; ".join(alt_text))


@mpl.rc_context(STYLE)
def heat_maps(heat: pd.DataFrame) -> str:
    """SVG of the median accuracy by learning rate and width or beta, a panel each; "" if none.

    Darker is better, on one scale; the number is the median, in each bin that has a trial.
    """
    panels = list(heat.groupby(["rule", "y"], sort=False))
    if not panels:
        return ""
    low, high = heat["median"].min(), heat["median"].max()
    figure, panes = grid(len(panels), 2, WIDTH / min(2, len(panels)), 2.1)
    alt_text = ["Median validation accuracy by learning rate and width or beta"]
    for axes, ((rule, y), cells) in zip(panes, panels, strict=True):
        columns, rows = (sorted(set(heat.loc[heat["y"] == y, end])) for end in ("x_low", "y_low"))
        edges = [*columns, heat["x_high"].max()]
        for cell in cells.itertuples():
            at = (columns.index(cell.x_low), rows.index(cell.y_low))
            shade = 0.06 + 0.44 * (cell.median - low) / (high - low or 1)
            axes.add_patch(Rectangle(at, 1, 1, color=FIRST, alpha=shade, lw=0))
            axes.text(at[0] + 0.5, at[1] + 0.5, f"{cell.median:.2f}", ha="center", va="center",
                      fontsize=7)  # fmt: skip
            alt_text.append(f"{rule} lr {cell.x_low:.1e} {y} {cell.y_low:g}: {cell.median:.3f}"
                        f" ({cell.count} trials)")  # fmt: skip
        axes.set(xlim=(0, len(columns)), ylim=(0, len(rows)), title=f"{rule}: {y}")
        axes.set(xlabel="learning rate", ylabel=y)
        axes.set_xticks(range(len(edges)), [f"{edge:.1e}" for edge in edges], fontsize=6)
        names = [f"{row:g}" if y == "hidden" else f"from {row:.2g}" for row in rows]
        axes.set_yticks(np.arange(len(rows)) + 0.5, names)
        axes.tick_params(axis="y", length=0)
    return inline_svg(figure, "; ".join(alt_text))


@mpl.rc_context(STYLE)
def accuracy_by_rank(repeats: pd.DataFrame) -> str:
    """SVG of the test accuracy of the top configurations with its interval; "" if none.

    Rank 1 is the configuration that validation chose. Configurations without a mean are left out.
    """
    shown = repeats[repeats["test_accuracy"].notna()]
    if shown.empty:
        return ""
    rules = list(shown["rule"].unique())
    styles, shifts = (
        styles_of(rules),
        np.linspace(-0.2, 0.2, len(rules)) if len(rules) > 1 else [0.0],
    )
    figure, (axes,) = grid(1, 1, WIDTH, 2.6)
    alt_text = ["Mean test accuracy of the configurations by their rank in validation"]
    for shift, (rule, rows) in zip(shifts, shown.groupby("rule", sort=False), strict=True):
        for row in rows.itertuples():
            x = row.rank + 1 + shift
            interval(axes, [x, x], [row.low, row.high], (x, row.test_accuracy), styles[rule])
            alt_text.append(f"{rule} rank {row.rank + 1}: {row.test_accuracy:.4f}"
                        f" ({row.low:.4f} to {row.high:.4f})")  # fmt: skip
    ranks = sorted(shown["rank"].unique() + 1)
    axes.set_xticks(ranks, [str(rank) for rank in ranks])
    axes.set(xlabel="rank in validation", ylabel="test accuracy")
    axes.axvspan(0.5, 1.5, color=INK, alpha=0.06, lw=0)
    axes.set_xlim(0.5, max(ranks) + 0.5)
    legend(figure, {rule: (style[0], "", *style[2:]) for rule, style in styles.items()})
    return inline_svg(figure, "; ".join(alt_text))
