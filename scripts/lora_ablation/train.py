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
from scripts.lora_ablation.data.cell import Cell, cell_jobs, read_cell
from scripts.lora_ablation.data.store import read_layout
from scripts.lora_ablation.unit import history_rows, prediction_rows, train_units


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
            trained = train_units(spec, cell, spec["units"])
            stacked.update((tuple(u), r) for u, r in zip(spec["units"], trained, strict=True))
        return stacked[tuple(unit)]

    data = cell.digest() if store else ""
    computed = finished(spec["units"], compute, store, lambda unit: data)
    return list(progress(computed, len(spec["units"]), spec["arm"]))


def rows(spec: dict, cell: Cell, code: list[str], threads: int, store: Path) -> list[list[dict]]:
    """Rows of the runs, histories and predictions of one cell; finished runs are in `store`."""
    trained = results(spec, cell, threads, unit_folder(store, spec, code, threads))
    runs = [result["row"] for result in trained]
    return [runs, history_rows(spec, trained), prediction_rows(spec, trained, cell)]


if __name__ == "__main__":
    args = arguments(layout=Path, index=Path, features=[Path], store=Path, threads=int,
                     runs=Path, histories=Path, predictions=Path)  # fmt: skip
    code, layout, of_cells = stamps("scripts/lora_ablation/train.py"), read_layout(args.layout), []
    for spec in cell_jobs(args.spec):
        cell = read_cell(spec, layout, args.index, args.features)
        of_cells.append(rows(spec, cell, code, args.threads, args.store))
    runs, histories, predictions = (list(chain(*parts)) for parts in zip(*of_cells, strict=True))
    write_runs(args.runs, runs, args.spec["axes"], spec=args.spec)
    write_table(args.histories, histories)
    write_table(args.predictions, predictions)
