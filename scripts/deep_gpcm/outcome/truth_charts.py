"""Figures of estimates beside the truth: recovery, category curves, convergence."""

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from scripts.lib.figures import INK, STYLE, inline_svg
from scripts.lib.panels import WIDTH, draw, grid, legend, styles_of

TRUTH = ("", "-", INK, True)
WIDE = {"lw": 3, "alpha": 0.25}


def in_words(rows: pd.DataFrame) -> str:
    """Number, correlation, bias and root mean squared error of estimates (n,)."""
    true, estimate = rows["true"].to_numpy(), rows["estimate"].to_numpy()
    error, varies = estimate - true, len(rows) > 1 and np.ptp(true) and np.ptp(estimate)
    r = f"{np.corrcoef(true, estimate)[0, 1]:.2f}" if varies else "not defined"
    return f"n {len(rows)}, r {r}, bias {error.mean():.2f}, RMSE {(error**2).mean() ** 0.5:.2f}"


@mpl.rc_context(STYLE)
def recovery_scatter(points: pd.DataFrame) -> str:
    """SVG of linked estimates against true values with the line of identity; "" if none.

    A row of panels per data set and arm, a column per parameter; a column of one data set has one
    scale, that of its true values with room for estimates half as far again.
    """
    if points.empty:
        return ""
    parameters = list(points["parameter"].unique())
    rows = list(points.groupby(["data", "arm"], sort=False))
    styles = styles_of([arm for (_, arm), _ in rows])
    figure, panes = grid(len(rows) * len(parameters), len(parameters), WIDTH / len(parameters), 1.5)
    panes = np.reshape(panes, (len(rows), len(parameters)))
    alt_text = ["Linked estimates against true values"]
    for line, ((data, arm), part) in zip(panes, rows, strict=True):
        for axes, name in zip(line, parameters, strict=True):
            shown = part[part["parameter"] == name]
            if shown.empty:
                axes.set_axis_off()
                continue
            true = points.loc[(points["data"] == data) & (points["parameter"] == name), "true"]
            room = 0.25 * (true.max() - true.min() or 1.0)
            limits = (true.min() - room, true.max() + room)
            axes.axline((limits[0], limits[0]), slope=1, color=INK, lw=0.8, alpha=0.6)
            inside = shown["estimate"].clip(*limits)
            axes.plot(shown["true"], inside, ".", color=styles[arm][2], alpha=0.5, ms=4, mew=0)
            outside = int((inside != shown["estimate"]).sum())
            alt_text.append(f"{data} {arm} {name}: {in_words(shown)}"
                        + (f", {outside} beyond the frame" if outside else ""))  # fmt: skip
            axes.set(xlim=limits, ylim=limits, aspect="equal", title=name)
            axes.xaxis.set_major_locator(MaxNLocator(3))
            axes.yaxis.set_major_locator(MaxNLocator(3))
            axes.annotate(in_words(shown).split(", ")[1], (0.05, 0.98), xycoords="axes fraction",
                          va="top", fontsize=7)  # fmt: skip
        line[0].set_ylabel(f"{data}: {arm}")
    figure.supxlabel("true value", fontsize=8)
    return inline_svg(figure, "; ".join(alt_text))


@mpl.rc_context(STYLE)
def category_curves(categories: pd.DataFrame) -> str:
    """SVG of true and estimated category curves, a panel per item, easy items first; "" if none."""
    panels = list(categories.groupby(["data", "item"], sort=False))
    if not panels:
        return ""
    styles = styles_of(list(categories["arm"]))
    figure, panes = grid(len(panels), 3, WIDTH / min(3, len(panels)), 1.7, sharex=True, sharey=True)
    alt_text = ["Category response curves, largest distance from the truth"]
    for axes, ((data, item), part) in zip(panes, panels, strict=True):
        for arm, rows in part.groupby("arm", sort=False):
            off = (rows["estimate"] - rows["true"]).abs().max()
            alt_text.append(f"{data} item {item} {arm}: {off:.2f}")
            for category, curve in rows.groupby("category"):
                if arm == part["arm"].iloc[0]:
                    axes.plot(curve["theta"], curve["true"], color=INK, **WIDE)
                    peak = curve.loc[curve["true"].idxmax()]
                    axes.annotate(f"{category}", (peak["theta"], peak["true"]), ha="center",
                                  va="bottom", fontsize=7)  # fmt: skip
                draw(axes, curve["theta"], curve["estimate"], styles[arm], marked=False)
        axes.set(title=f"{data}, item {item}", ylim=(0, 1.12))
        axes.set_yticks([0, 0.5, 1])
    for axes in panes[-min(3, len(panes)) :]:
        axes.set_xlabel("ability")
    figure.supylabel("probability", fontsize=8)
    legend(figure, {"truth (wide)": TRUTH} | styles, marked=False)
    return inline_svg(figure, "; ".join(alt_text))


@mpl.rc_context(STYLE)
def ability_errors(convergence: pd.DataFrame) -> str:
    """SVG of the RMSE of linked abilities by the number of earlier answers; "" if none."""
    names = list(convergence["data"].unique())
    if not names:
        return ""
    styles = styles_of(list(convergence["arm"]))
    figure, panes = grid(len(names), 2, WIDTH / min(2, len(names)), 2.2, sharey=True)
    alt_text = ["RMSE of the linked ability after a number of answers"]
    for axes, (data, part) in zip(panes, convergence.groupby("data", sort=False), strict=True):
        for arm, rows in part.groupby("arm", sort=False):
            draw(axes, rows["t"], rows["rmse"], styles[arm], marked=False)
            some = rows.iloc[sorted({0, len(rows) // 4, len(rows) // 2, len(rows) - 1})]
            values = [
                f"{rmse:.2f} at {t:.0f}" for t, rmse in zip(some["t"], some["rmse"], strict=True)
            ]
            alt_text.append(f"{data} {arm}: {', '.join(values)}")
        axes.set(title=data, xlabel="answers so far", ylim=(0, 1.08 * convergence["rmse"].max()))
    panes[0].set_ylabel("RMSE of ability")
    legend(figure, styles, marked=False)
    return inline_svg(figure, "; ".join(alt_text))
