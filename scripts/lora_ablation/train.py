"""Train the runs of some cells of one representation by one arm.

Writes runs/{arm}/{cells}.parquet (a row a run), histories/ (a row an epoch: loss, val_accuracy) and
predictions/ (a row a run and held-out adapter: row, split, label, predicted). Finished runs are
kept under units/ and reused by a job that needs them again.
"""

from itertools import chain
from pathlib import Path
from typing import Any

from scripts.lib.progress import progress
from scripts.lib.run_rows import write_runs
from scripts.lib.stage import stage
from scripts.lib.table_files import write_table
from scripts.lib.units import alone, finished, unit_folder
from scripts.lora_ablation.data.cell import Cell, read_cell
from scripts.lora_ablation.data.store import read_layout
from scripts.lora_ablation.specs import AXES, EARLY, TrainJob
from scripts.lora_ablation.unit import Row, train_units


def results(job: TrainJob, cell: Cell) -> list[dict[str, Any]]:
    """Result of each unit of a job of one cell, from disk where it is finished already."""
    folder = unit_folder(job)
    data = cell.digest() if folder else ""
    stacks = [job.units] if job.trainer == "stacked" else alone(job.units)
    computed = finished(
        stacks, lambda units: train_units(job, cell, units), folder, lambda unit: data
    )
    return list(progress(computed, len(job.units), job.arm))


def history_rows(units: list[list], trained: list[dict[str, Any]]) -> list[Row]:
    """A row per epoch of each unit: the axes, epoch (from 1), loss, val_accuracy."""
    return [
        dict(zip(AXES, unit, strict=True))
        | {"epoch": epoch, "loss": loss, "val_accuracy": val_accuracy}
        for unit, result in zip(units, trained, strict=True)
        for epoch, (loss, val_accuracy) in enumerate(result["history"], start=1)
    ]


def prediction_rows(units: list[list], trained: list[dict[str, Any]], cell: Cell) -> list[Row]:
    """A row per run and adapter of the validation and test sets, without the axis `stage`."""
    return [
        dict(zip(AXES[1:], unit[1:], strict=True))
        | {"row": int(row), "split": part}
        | {"label": cell.classes[cell.y[row]], "predicted": cell.classes[code]}
        for unit, result in zip(units, trained, strict=True)
        for part, codes in result["predicted"].items()
        for row, code in zip(cell.parts[part], codes, strict=True)
    ]


def rows(job: TrainJob, cell: Cell) -> list[list[Row]]:
    """Rows of the runs, histories and predictions of one cell; an early one predicts nothing."""
    trained = results(job, cell)
    runs, histories = [result["row"] for result in trained], history_rows(job.units, trained)
    early = job.units[0][0] == EARLY
    return [runs, histories, [] if early else prediction_rows(job.units, trained, cell)]


def main(
    spec: TrainJob, layout: Path, index: Path, features: list[Path],
    runs: Path, histories: Path, predictions: Path,
) -> None:  # fmt: skip
    tensors = read_layout(layout)
    of_cells = [rows(job, read_cell(job, tensors, index, features)) for job in spec.cells()]
    tables = [list(chain(*parts)) for parts in zip(*of_cells, strict=True)]
    write_runs(runs, tables[0], AXES)
    write_table(histories, tables[1])
    write_table(predictions, tables[2])


if __name__ == "__main__":
    stage(main)
