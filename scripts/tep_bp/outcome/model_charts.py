"""Figures of the model itself: bias of its gradient, residuals of its fixed points, its time."""

import matplotlib as mpl
import pandas as pd

from scripts.lib.figures import INK, STYLE, inline_svg
from scripts.lib.panels import WIDTH, draw, grid, legend
from scripts.tep_bp.outcome.fixed_points import WARN
from scripts.tep_bp.outcome.panels import logarithmic, series, widths_on_x

ORDERS = {"one_sided": 1, "centred": 2}  # powers of beta that theory says the error has
SMALLEST = 1e-9  # what a residual of zero is drawn as


@mpl.rc_context(STYLE)
def gradient_errors(bias: pd.DataFrame) -> str:
    """SVG of the gradient's relative error by beta, log-log, with the slopes of theory; "" if none.

    The faint lines start at the error of the smallest beta.
    """
    shown = bias[(bias["beta"] > 0) & (bias["error"] > 0)]
    if shown.empty:
        return ""
    looks = series(list(shown["difference"]))
    figure, (axes,) = grid(1, 1, WIDTH, 2.8)
    told = ["Relative error of the gradient by beta"]
    for kind, rows in shown.groupby("difference", sort=False):
        beta, error = rows["beta"].to_numpy(), rows["error"].to_numpy()
        draw(axes, beta, error, looks[kind])
        if kind in ORDERS:
            line = error[0] * (beta / beta[0]) ** ORDERS[kind]
            axes.plot(beta, line, color=INK, lw=3, alpha=0.2)
        told += [f"{kind} beta {row.beta:g}: {row.error:.1e}" for row in rows.itertuples()]
    logarithmic(axes, "x")
    logarithmic(axes, "y")
    axes.set(xlabel="beta", ylabel="relative error of the gradient")
    legend(figure, looks)
    return inline_svg(figure, "; ".join(told))


@mpl.rc_context(STYLE)
def residuals_by_width(residuals: pd.DataFrame) -> str:
    """SVG of the free residual's p99 by width, a panel per rule: median and worst; "" if none.

    Marked lines: the worst trial; faint ones: the median; dashed: what is warned of.
    """
    shown = residuals[(residuals["role"] != "legacy") & residuals["residual_free"].notna()]
    if shown.empty:
        return ""
    shown = shown.assign(name=shown["arm"] + " (" + shown["solver"] + ")")
    looks = series(list(shown["name"]))
    rules = list(shown.groupby("rule", sort=False))
    figure, panes = grid(len(rules), 2, WIDTH / min(2, len(rules)), 2.5, sharey=True)
    told = ["99th percentile of the free residual by width, median (worst) over trials"]
    for axes, (rule, part) in zip(panes, rules, strict=True):
        axes.axhline(WARN, color=INK, lw=0.8, ls="--")
        for name, rows in part.groupby("name", sort=False):
            worst, median = (
                rows[column].clip(lower=SMALLEST)
                for column in ("residual_free_worst", "residual_free")
            )
            draw(axes, rows["hidden"], worst, looks[name])
            axes.plot(rows["hidden"], median, color=looks[name][2], lw=1.2, alpha=0.4)
            told += [f"{rule} {name} {row.hidden}: {row.residual_free:.1e}"
                     f" ({row.residual_free_worst:.1e})" for row in rows.itertuples()]  # fmt: skip
        widths_on_x(axes, sorted(part["hidden"].unique()))
        logarithmic(axes, "y")
        axes.set_title(rule)
    panes[0].set_ylabel("residual")
    legend(figure, looks)
    return inline_svg(figure, "; ".join(told))


@mpl.rc_context(STYLE)
def time_by_width(widths: pd.DataFrame) -> str:
    """SVG of the mean time of a trial by width, a panel per rule, a line per arm; "" if none."""
    shown = widths[(widths["role"] != "legacy") & (widths["fit_s"] > 0)]
    if shown.empty:
        return ""
    looks = series(list(shown["arm"]))
    rules = list(shown.groupby("rule", sort=False))
    figure, panes = grid(len(rules), 3, WIDTH / min(3, len(rules)), 2.4, sharey=True)
    told = ["Mean seconds of a trial by width, of jobs as they ran"]
    for axes, (rule, part) in zip(panes, rules, strict=True):
        for arm, rows in part.groupby("arm", sort=False):
            draw(axes, rows["hidden"], rows["fit_s"], looks[arm])
            told += [f"{rule} {arm} {row.hidden}: {row.fit_s:.3g}" for row in rows.itertuples()]
        widths_on_x(axes, sorted(part["hidden"].unique()))
        logarithmic(axes, "y")
        axes.set_title(rule)
    panes[0].set_ylabel("seconds per trial")
    legend(figure, looks)
    return inline_svg(figure, "; ".join(told))
