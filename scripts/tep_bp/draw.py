"""The study's figures as SVG text in one JSON file, by the name of their table ("" if none)."""

import json
from pathlib import Path

import pandas as pd

from scripts.lib.files import replacing
from scripts.lib.stage import stage
from scripts.lib.table_files import read_frame
from scripts.tep_bp.outcome.model_charts import (
    gradient_errors,
    ranges_by_arm,
    residuals_by_width,
    time_by_width,
)
from scripts.tep_bp.outcome.search_charts import (
    accuracy_by_rank,
    anytime_curves,
    distribution_steps,
    heat_maps,
)

# How each table is drawn.
CHARTS = {
    "anytime": anytime_curves,
    "distribution": distribution_steps,
    "heat": heat_maps,
    "repeats": accuracy_by_rank,
    "legacy": ranges_by_arm,
    "residuals": residuals_by_width,
    "widths": time_by_width,
    "bias": gradient_errors,
}


def drawn(tables: dict[str, pd.DataFrame]) -> dict[str, str]:
    """SVG text by name of the table."""
    return {name: chart(tables[name]) for name, chart in CHARTS.items()}


def main(tables: list[Path], figures: Path) -> None:
    text = json.dumps(drawn({path.stem: read_frame(path) for path in tables}))
    with replacing(figures) as temporary:
        temporary.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    stage(main)
