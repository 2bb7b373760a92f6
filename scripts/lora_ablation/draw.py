"""The study's figures as SVG text in one JSON file: grid, drops, classes, curve ("" if none)."""

import json
from pathlib import Path

import pandas as pd

from scripts.lib.files import replacing
from scripts.lib.stage import stage
from scripts.lib.table_files import read_frame
from scripts.lora_ablation.outcome.charts import (
    accuracy_by_selection,
    class_dots,
    drop_forest,
    learning_curves,
)
from scripts.lora_ablation.outcome.grid import FULL


def shown_by_class(grid: pd.DataFrame, classes: pd.DataFrame) -> str:
    """Which representation the figure by class is about; "" if there is none.

    The ensemble, else the one with the best validation accuracy: test rows choose nothing.
    """
    names = set(classes["representation"])
    if not names or "ensemble" in names:
        return "ensemble" if names else ""
    candidates = grid[(grid["layers"] == "all") & (grid["share"] == FULL)]
    candidates = candidates[candidates["representation"].isin(names)]
    return candidates.sort_values("val_accuracy", kind="stable")["representation"].iloc[-1]


def drawn(
    grid: pd.DataFrame, drops: pd.DataFrame, classes: pd.DataFrame, curve: pd.DataFrame
) -> dict[str, str]:
    """SVG text by the name of the table that it shows."""
    return {
        "grid": accuracy_by_selection(grid),
        "drops": drop_forest(drops),
        "classes": class_dots(classes, shown_by_class(grid, classes)),
        "curve": learning_curves(curve),
    }


def main(grid: Path, drops: Path, classes: Path, curve: Path, figures: Path) -> None:
    tables = [read_frame(path) for path in (grid, drops, classes, curve)]
    with replacing(figures) as temporary:
        temporary.write_text(json.dumps(drawn(*tables)), encoding="utf-8")


if __name__ == "__main__":
    stage(main)
