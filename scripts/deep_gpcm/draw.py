"""The study's figures as SVG text in one JSON file, by the name of their table ("" if none)."""

import json
from pathlib import Path

import pandas as pd

from scripts.deep_gpcm.outcome.ladder_charts import learning_curves, ratio_bars
from scripts.deep_gpcm.outcome.score_charts import (
    calibration_curves,
    confusion_squares,
    nll_by_arm,
)
from scripts.deep_gpcm.outcome.truth_charts import (
    ability_errors,
    category_curves,
    recovery_scatter,
)
from scripts.lib.files import replacing
from scripts.lib.stage import arguments

# How each table is drawn.
CHARTS = {
    "scores": nll_by_arm,
    "points": recovery_scatter,
    "calibration": calibration_curves,
    "confusion": confusion_squares,
    "convergence": ability_errors,
    "categories": category_curves,
    "learning": learning_curves,
    "ladder": ratio_bars,
}


def figures(tables: dict[str, pd.DataFrame]) -> dict[str, str]:
    """SVG text by name: that of the table, but `recovery` of the points."""
    drawn = {name: chart(tables[name]) for name, chart in CHARTS.items()}
    return {"recovery" if name == "points" else name: svg for name, svg in drawn.items()}


if __name__ == "__main__":
    args = arguments(**dict.fromkeys(CHARTS, Path), figures=Path)
    text = json.dumps(figures({name: pd.read_csv(getattr(args, name)) for name in CHARTS}))
    with replacing(args.figures) as temporary:
        temporary.write_text(text, encoding="utf-8")
