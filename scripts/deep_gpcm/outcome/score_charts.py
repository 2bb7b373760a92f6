"""Figures of how well the arms predict: scores, calibration, confusion."""

import math

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from scripts.lib.figures import FIRST, INK, SECOND, STYLE, inline_svg
from scripts.lib.panels import WIDTH, draw, grid, legend, styles_of

ROLES = {"result": ("o", FIRST), "classical": ("D", SECOND), "ceiling": ("^", INK)}
OTHER = ("o", INK)
COUNTED = 1e-3  # nats by which an arm's NLL differs from that of the answers if it counts padding


def score_row(axes: Axes, at: int, row: pd.Series) -> str:
    """An arm's mean NLL with a bar of one sd to each side; returns them in words."""
    marker, colour = ROLES.get(row["role"], OTHER)
    counted = abs(row["nll"] - row["nll_answers"]) > COUNTED
    sd = 0.0 if math.isnan(row["nll_sd"]) else row["nll_sd"]
    axes.plot([row["nll"] - sd, row["nll"] + sd], [at, at], color=colour, lw=1.2)
    axes.plot(row["nll"], at, marker, color=colour, ms=5, mew=1.1,
              mfc="none" if counted else colour)  # fmt: skip
    words = f"{row['data']} {row['arm']}: {row['nll']:.3f}"
    words += f" (sd {row['nll_sd']:.3f})" if sd else ""
    return words + (f", of the answers alone {row['nll_answers']:.3f}" if counted else "")


@mpl.rc_context(STYLE)
def nll_by_arm(scores: pd.DataFrame) -> str:
    """SVG of the mean NLL of each arm, a panel per data set, best first; "" if none.

    Dashed: the ceiling. Open marks: an arm that scores padding too.
    """
    names = list(scores["data"].unique())
    if not names:
        return ""
    sizes = scores.groupby("data", sort=False).size().to_numpy()
    height = 0.6 + 0.17 * sizes.mean()
    figure, panes = grid(len(names), 1, WIDTH, height, gridspec_kw={"height_ratios": sizes + 2})
    alt_text = ["Mean NLL of the test answers by arm, lower is better"]
    for axes, (data, part) in zip(panes, scores.groupby("data", sort=False), strict=True):
        part = part.sort_values("nll_answers", kind="stable")
        for value in part.loc[part["role"] == "ceiling", "nll"]:
            axes.axvline(value, color=INK, lw=0.8, ls="--")
        alt_text += [score_row(axes, at, row) for at, (_, row) in enumerate(part.iterrows())]
        axes.set_yticks(range(len(part)), part["arm"])
        axes.set(ylim=(len(part) - 0.5, -0.5), title=data, xlabel="NLL")
        axes.tick_params(axis="y", length=0)
    return inline_svg(figure, "; ".join(alt_text))


@mpl.rc_context(STYLE)
def calibration_curves(calibration: pd.DataFrame) -> str:
    """SVG of accuracy against mean confidence by bin, a panel per data set; "" if none."""
    shown = calibration[calibration["count"] > 0]
    names = list(shown["data"].unique())
    if not names:
        return ""
    styles = styles_of(list(shown["arm"]))
    figure, panes = grid(len(names), 3, WIDTH / min(3, len(names)), 2.5)
    alt_text = ["Accuracy by confidence, with the number of answers"]
    for axes, (data, part) in zip(panes, shown.groupby("data", sort=False), strict=True):
        axes.plot([0, 1], [0, 1], color=INK, lw=0.8, alpha=0.5)
        for arm, rows in part.groupby("arm", sort=False):
            draw(axes, rows["confidence"], rows["accuracy"], styles[arm])
            bins = [f"{r.confidence:.2f} {r.accuracy:.2f} ({r.count})"
                    for r in rows.itertuples(index=False, name="Bin")]  # fmt: skip
            alt_text.append(f"{data} {arm}: {', '.join(bins)}")
        low = max(0.0, 0.1 * math.floor(10 * part[["confidence", "accuracy"]].min().min()))
        axes.set(xlim=(low, 1), ylim=(low, 1), aspect="equal", title=data)
        axes.set(xlabel="mean confidence", ylabel="accuracy")
    legend(figure, styles)
    return inline_svg(figure, "; ".join(alt_text))


@mpl.rc_context(STYLE)
def confusion_squares(confusion: pd.DataFrame) -> str:
    """SVG of what share of each response is predicted as which category; "" if none.

    A panel per data set and arm; shade and number are the share of the row.
    """
    panels = list(confusion.groupby(["data", "arm"], sort=False))
    if not panels:
        return ""
    figure, panes = grid(len(panels), 4, WIDTH / min(4, len(panels)), 1.9)
    alt_text = ["Share of each response that is predicted as category 0, 1, ..."]
    for axes, ((data, arm), part) in zip(panes, panels, strict=True):
        counts = part.pivot(index="response", columns="predicted", values="count").to_numpy(float)
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        for row, column in np.ndindex(shares.shape):
            share, corner = shares[row, column], (column - 0.5, row - 0.5)
            axes.add_patch(Rectangle(corner, 1, 1, color=FIRST, alpha=0.75 * share, lw=0))
            axes.text(column, row, f"{share:.0%}", ha="center", va="center", fontsize=7)
        lines = [", ".join(f"{share:.0%}" for share in row) for row in shares]
        alt_text.append(
            f"{data} {arm}: " + "; ".join(f"{k}: {line}" for k, line in enumerate(lines))
        )
        size = len(shares)
        axes.set(xlim=(-0.5, size - 0.5), ylim=(size - 0.5, -0.5), aspect="equal")
        axes.set(title=f"{data}: {arm}", xlabel="predicted", ylabel="response")
        axes.set_xticks(range(size))
        axes.set_yticks(range(size))
        axes.tick_params(length=0)
    return inline_svg(figure, ". ".join(alt_text))
