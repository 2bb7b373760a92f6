"""The study's figure as SVG text in a JSON file: what was learnt beyond the support of training."""

import json
from pathlib import Path

import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from scripts.lib.figures import FILLS, FIRST, INK, SECOND, STYLE, inline_svg
from scripts.lib.files import replacing
from scripts.lib.panels import WIDTH, grid
from scripts.lib.stage import stage

OTHERS = {"official": (SECOND, "--"), "median_regression": (INK, ":")}


def read(paths: list[Path]) -> pd.DataFrame:
    """Rows of all these tables, with the arm that each is from (its folder)."""
    tables = [pd.read_parquet(path).assign(arm=path.parent.name) for path in paths]
    return pd.concat([table for table in tables if len(table)] or tables[:1])


def beyond(curves: pd.DataFrame, points: pd.DataFrame, result: str = "projected") -> str:
    """A panel for each table with one covariate: data, the result's 90 % band, medians."""
    import matplotlib as mpl

    names = list(dict.fromkeys(curves["table"]))
    if result not in set(curves["arm"]):
        return ""
    with mpl.rc_context(STYLE):
        figure, panes = grid(len(names), 2, WIDTH / 2, 2.4)
        for axes, name in zip(panes, names, strict=True):
            here = points[(points["table"] == name) & (points["arm"] == result)]
            for trained, fill in ((1, INK), (0, "none")):
                some = here[here["trained"] == trained]
                axes.scatter(some["x"], some["y"], s=5, facecolors=fill, edgecolors=INK, lw=0.4)
            lines = curves[curves["table"] == name].groupby("arm")
            own = lines.get_group(result)
            axes.fill_between(own["x"], own["low"], own["high"], color=FILLS[0], alpha=0.5, lw=0,
                              zorder=0)  # fmt: skip
            axes.plot(own["x"], own["median"], color=FIRST, lw=1.4)
            for arm in OTHERS.keys() & lines.groups:
                colour, line = OTHERS[arm]
                other = lines.get_group(arm)
                axes.plot(other["x"], other["median"], color=colour, ls=line, lw=1.2)
            axes.axvline(here[here["trained"] == 1]["x"].max(), color=INK, lw=0.6, ls=(0, (2, 3)))
            axes.set_title(name)
        handles = [
            Line2D([], [], color=FIRST, lw=1.4, label=f"{result}: median"),
            Patch(color=FILLS[0], alpha=0.5, label=f"{result}: 90 %"),
            *(
                Line2D([], [], color=colour, ls=line, lw=1.2, label=f"{arm}: median")
                for arm, (colour, line) in OTHERS.items()
                if arm in set(curves["arm"])
            ),
            Line2D([], [], ls="", marker="o", ms=3, color=INK, label="trained"),
            Line2D([], [], ls="", marker="o", ms=3, mfc="none", color=INK, label="tested"),
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=3)
        return inline_svg(figure, told(curves, result))


def told(curves: pd.DataFrame, result: str) -> str:
    """The figure in words: where the curve of each table ends."""
    ends = curves[curves["arm"] == result].groupby("table", sort=False).last()
    said = (
        f"{name}: at x = {row.x:.3g} median {row['median']:.3g}, 90 % from {row.low:.3g} to "
        f"{row.high:.3g}"
        for name, row in ends.iterrows()
    )
    return "Conditional median and 90 % interval of the result; " + "; ".join(said)


def main(curve: list[Path], points: list[Path], figures: Path) -> None:
    text = json.dumps({"beyond": beyond(read(curve), read(points))})
    with replacing(figures) as temporary:
        temporary.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    stage(main)
