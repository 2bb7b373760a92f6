"""Train the runs of some cells of one representation by one arm.

Writes runs/{arm}/{cells}.parquet (a row a run), histories/ (a row an epoch: loss, val_accuracy) and
predictions/ (a row a run and held-out adapter: row, split, label, predicted). Finished runs are
kept under units/ and reused by a job that needs them again.
"""

from itertools import chain
from pathlib import Path

import torch

from scripts.lib.code import stamps
from scripts.lib.progress import progress
from scripts.lib.stage import arguments
from scripts.lib.tables import write_runs, write_table
from scripts.lib.units import finished, unit_folder
from scripts.lora_ablation.adapters.store import read_layout
from scripts.lora_ablation.axes import AXES
from scripts.lora_ablation.cells import cell_jobs, read_cell
from scripts.lora_ablation.rows import history_rows, prediction_rows
from scripts.lora_ablation.training.data import Cell
from scripts.lora_ablation.unit import train_units


def results(spec: dict, cell: Cell, threads: int, store: Path | None = None) -> list[dict]:
    """Result of each unit of one cell, from `store` where it is finished already.

    A stack trains all units of the cell together when the first one is missing.
    """
    torch.set_num_threads(threads)
    stacked: dict[tuple, dict] = {}

    def compute(unit: list) -> dict:
        if spec["trainer"] != "stacked":
            return train_units(spec, cell, [unit])[0]
        if not stacked:
            done = train_units(spec, cell, spec["units"])
            stacked.update((tuple(u), r) for u, r in zip(spec["units"], done, strict=True))
        return stacked[tuple(unit)]

    data = cell.digest() if store else ""
    done = finished(spec["units"], compute, store, lambda unit: data)
    return list(progress(done, len(spec["units"]), spec["arm"]))


def tables(spec: dict, cell: Cell, code: list[str], threads: int, store: Path) -> list[list[dict]]:
    """Rows of the runs, histories and predictions of one cell; finished runs are in `store`."""
    folder, units = unit_folder(store, spec, code, threads), spec["units"]
    done = results(spec, cell, threads, folder)
    runs = [result["row"] for result in done]
    return [runs, history_rows(units, done), prediction_rows(units, done, cell)]


if __name__ == "__main__":
    args = arguments(layout=Path, index=Path, features=[Path], store=Path, threads=int,
                     runs=Path, histories=Path, predictions=Path)  # fmt: skip
    code, layout, made = stamps("scripts/lora_ablation/train.py"), read_layout(args.layout), []
    for spec in cell_jobs(args.spec):
        cell = read_cell(spec, layout, args.index, args.features)
        made.append(tables(spec, cell, code, args.threads, args.store))
    runs, histories, predictions = (list(chain(*rows)) for rows in zip(*made, strict=True))
    write_runs(args.runs, runs, AXES, spec=args.spec)
    write_table(args.histories, histories)
    write_table(args.predictions, predictions)
