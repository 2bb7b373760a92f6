"""Tables of the outcome from runs and predictions: grid, drops, classes, curve, complete (CSV)."""

import logging
from pathlib import Path

import pandas as pd

from scripts.lib.stage import stage
from scripts.lib.table_files import write_csv, write_frame
from scripts.lora_ablation.outcome.drops import classes, drops
from scripts.lora_ablation.outcome.grid import (
    RUN,
    curve,
    grid,
    grid_state,
    outcome,
    resampled_accuracy,
)
from scripts.lora_ablation.specs import TablesJob

PREDICTED = [*RUN, "row", "split", "label", "predicted"]


def tables(
    job: TablesJob, runs: pd.DataFrame, predictions: pd.DataFrame
) -> dict[str, pd.DataFrame]:
    """All tables by name. Random: bootstrap samples of test rows, from streams of the seed."""
    found = outcome(runs, predictions, job.arm, job.expected)
    resampled = resampled_accuracy(found, job.draws, job.seed)
    cells = grid(found, resampled, job.confidence)
    return {
        "grid": cells,
        "drops": drops(found, resampled, job.confidence),
        "classes": classes(found, job.draws, job.seed, job.confidence),
        "curve": curve(cells),
        "complete": found.complete[[*RUN, "status"]],
    }


def write(path: Path, table: pd.DataFrame) -> None:
    """The table as CSV, whole numbers without a decimal point."""
    if len(table):
        write_csv(path, table.to_dict("records"))
    else:
        write_frame(path, table)


def main(
    spec: TablesJob, runs: Path, predictions: list[Path],
    grid: Path, drops: Path, classes: Path, curve: Path, complete: Path,
) -> None:  # fmt: skip
    paths = {"grid": grid, "drops": drops, "classes": classes, "curve": curve, "complete": complete}
    predicted = pd.concat([pd.read_parquet(path, columns=PREDICTED) for path in predictions])
    by_name = tables(spec, pd.read_parquet(runs), predicted)
    for name, path in paths.items():
        write(path, by_name[name])
    logging.info(grid_state(by_name["complete"]))


if __name__ == "__main__":
    stage(main)
