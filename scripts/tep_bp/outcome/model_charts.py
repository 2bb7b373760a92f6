"""Figures of the model: gradient error, residuals, time by width, and the original's faults."""

import matplotlib as mpl
import pandas as pd

from scripts.lib.figures import FIRST, INK, SECOND, STYLE, inline_svg
from scripts.lib.panels import WIDTH, draw, grid, legend
from scripts.tep_bp.outcome.model_tables import WARN
from scripts.tep_bp.outcome.styles import logarithmic, styles_of, widths_on_x

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
    styles = styles_of(list(shown["difference"]))
    figure, (axes,) = grid(1, 1, WIDTH, 2.8)
    alt_text = ["Relative error of the gradient by beta"]
    for kind, rows in shown.groupby("difference", sort=False):
        beta, error = rows["beta"].to_numpy(), rows["error"].to_numpy()
        draw(axes, beta, error, styles[kind])
        if kind in ORDERS:
            line = error[0] * (beta / beta[0]) ** ORDERS[kind]
            axes.plot(beta, line, color=INK, lw=3, alpha=0.2)
        alt_text += [f"{kind} beta {row.beta:g}: {row.error:.1e}" for row in rows.itertuples()]
    logarithmic(axes, "x")
    logarithmic(axes, "y")
    axes.set(xlabel="beta", ylabel="relative error of the gradient")
    legend(figure, styles)
    return inline_svg(figure, "; ".join(alt_text))


@mpl.rc_context(STYLE)
def residuals_by_width(residuals: pd.DataFrame) -> str:
    """SVG of the free residual's p99 by width, a panel per rule: median and worst; "" if none.

    Marked lines: the worst trial; faint ones: the median; dashed: what is warned of.
    """
    shown = residuals[(residuals["role"] != "legacy") & residuals["residual_free"].notna()]
    if shown.empty:
        return ""
    shown = shown.assign(name=shown["arm"] + " (" + shown["solver"] + ")")
    styles = styles_of(list(shown["name"]))
    rules = list(shown.groupby("rule", sort=False))
    figure, panes = grid(len(rules), 2, WIDTH / min(2, len(rules)), 2.5, sharey=True)
    alt_text = ["99th percentile of the free residual by width, median (worst) over trials"]
    for axes, (rule, part) in zip(panes, rules, strict=True):
        axes.axhline(WARN, color=INK, lw=0.8, ls="--")
        for name, rows in part.groupby("name", sort=False):
            worst, median = (
                rows[column].clip(lower=SMALLEST)
                for column in ("residual_free_worst", "residual_free")
            )
            draw(axes, rows["hidden"], worst, styles[name])
            axes.plot(rows["hidden"], median, color=styles[name][2], lw=1.2, alpha=0.4)
            alt_text += [f"{rule} {name} {row.hidden}: {row.residual_free:.1e}"
                     f" ({row.residual_free_worst:.1e})" for row in rows.itertuples()]  # fmt: skip
        widths_on_x(axes, sorted(part["hidden"].unique()))
        logarithmic(axes, "y")
        axes.set_title(rule)
    panes[0].set_ylabel("residual")
    legend(figure, styles)
    return inline_svg(figure, "; ".join(alt_text))


@mpl.rc_context(STYLE)
def time_by_width(widths: pd.DataFrame) -> str:
    """SVG of the mean time of a trial by width, a panel per rule, a line per arm; "" if none."""
    shown = widths[(widths["role"] != "legacy") & (widths["fit_s"] > 0)]
    if shown.empty:
        return ""
    styles = styles_of(list(shown["arm"]))
    rules = list(shown.groupby("rule", sort=False))
    figure, panes = grid(len(rules), 3, WIDTH / min(3, len(rules)), 2.4, sharey=True)
    alt_text = ["Mean seconds of a trial by width, of jobs as they ran"]
    for axes, (rule, part) in zip(panes, rules, strict=True):
        for arm, rows in part.groupby("arm", sort=False):
            draw(axes, rows["hidden"], rows["fit_s"], styles[arm])
            alt_text += [f"{rule} {arm} {row.hidden}: {row.fit_s:.3g}" for row in rows.itertuples()]
        widths_on_x(axes, sorted(part["hidden"].unique()))
        logarithmic(axes, "y")
        axes.set_title(rule)
    panes[0].set_ylabel("seconds per trial")
    legend(figure, styles)
    return inline_svg(figure, "; ".join(alt_text))


@mpl.rc_context(STYLE)
def ranges_by_arm(legacy: pd.DataFrame) -> str:
    """SVG of quartiles, median and best trial of each arm, in their order; "" if none.

    Bar: the middle half of the trials; filled mark: median; open mark: best.
    """
    shown = legacy[legacy["median"].notna()]
    if shown.empty:
        return ""
    figure, (axes,) = grid(1, 1, WIDTH, 0.3 + 0.3 * len(shown))
    alt_text = ["Validation accuracy over the same trials"]
    for at, row in enumerate(shown.itertuples()):
        colour = FIRST if row.role == "result" else SECOND
        width = row.upper_quartile - row.lower_quartile
        axes.barh(at, width, 0.55, row.lower_quartile, color=colour, alpha=0.3)
        axes.plot(row.median, at, "D", color=colour, ms=5)
        axes.plot(row.best, at, "o", color=colour, mfc="none", ms=5, mew=1.1)
        axes.annotate(f"{row.median:.3f}", (row.median, at), (0, 6), textcoords="offset points",
                      ha="center", fontsize=7)  # fmt: skip
        alt_text.append(f"{row.arm}: median {row.median:.3f}, quartiles {row.lower_quartile:.3f} to"
                    f" {row.upper_quartile:.3f}, best {row.best:.3f}")  # fmt: skip
    axes.set_yticks(range(len(shown)), shown["arm"])
    axes.set(xlim=(0, 1), ylim=(len(shown) - 0.5, -0.7), xlabel="validation accuracy")
    axes.tick_params(axis="y", length=0)
    return inline_svg(figure, "; ".join(alt_text))
