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
from scripts.lib.stage import stage
from scripts.lib.table_files import read_frame

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


def drawn(tables: dict[str, pd.DataFrame]) -> dict[str, str]:
    """SVG text by name: that of the table, but `recovery` of the points."""
    svgs = {name: chart(tables[name]) for name, chart in CHARTS.items()}
    return {"recovery" if name == "points" else name: svg for name, svg in svgs.items()}


def main(inputs: dict[str, list[Path]], figures: Path) -> None:
    tables = {name: read_frame(path) for name, (path,) in inputs.items()}
    with replacing(figures) as temporary:
        temporary.write_text(json.dumps(drawn(tables)), encoding="utf-8")


if __name__ == "__main__":
    stage(main)
