"""Tables of the outcome from runs and predictions: grid, drops, classes, curve, complete (CSV)."""

import logging
from pathlib import Path

import pandas as pd

from scripts.lib.files import replacing
from scripts.lib.stage import arguments
from scripts.lib.tables import write_csv
from scripts.lora_ablation.outcome.drops import classes, drops
from scripts.lora_ablation.outcome.grid import (
    RUN,
    curve,
    grid,
    grid_state,
    outcome,
    resampled_accuracy,
)

PREDICTED = [*RUN, "row", "split", "label", "predicted"]


def tables(
    runs: pd.DataFrame,
    predictions: pd.DataFrame,
    arm: str,
    expected: list[list],
    seed: int,
    confidence: float,
    draws: int,
) -> dict[str, pd.DataFrame]:
    """All tables by name. Random: bootstrap samples of test rows, from streams of `seed`."""
    found = outcome(runs, predictions, arm, expected)
    resampled = resampled_accuracy(found, draws, seed)
    cells = grid(found, resampled, confidence)
    return {
        "grid": cells,
        "drops": drops(found, resampled, confidence),
        "classes": classes(found, draws, seed, confidence),
        "curve": curve(cells),
        "complete": found.complete[[*RUN, "status"]],
    }


def write(path: Path, table: pd.DataFrame) -> None:
    """The table as CSV; one without rows still has its header, so that readers can open it."""
    if len(table):
        return write_csv(path, table.to_dict("records"))
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False)


if __name__ == "__main__":
    args = arguments(runs=Path, predictions=[Path], grid=Path, drops=Path, classes=Path,
                     curve=Path, complete=Path)  # fmt: skip
    predictions = pd.concat([pd.read_parquet(path, columns=PREDICTED) for path in args.predictions])
    by_name = tables(pd.read_parquet(args.runs), predictions, **args.spec)
    for name, table in by_name.items():
        write(getattr(args, name), table)
    logging.info(grid_state(by_name["complete"]))
