"""Train the runs of one cell by one arm.

Writes runs/{arm}/{cell}.parquet (a row a run), histories/ (a row an epoch: loss, val_accuracy) and
predictions/ (a row a run and held-out adapter: row, split, label, predicted). Finished runs are
kept under units/ and reused by a job that needs them again.
"""

from pathlib import Path

import torch

from scripts.lib.code import stamps
from scripts.lib.progress import progress
from scripts.lib.provenance import versions
from scripts.lib.spec import digest
from scripts.lib.stage import arguments
from scripts.lib.tables import write_runs, write_table
from scripts.lib.units import finished
from scripts.lora_ablation.adapters.store import read_layout
from scripts.lora_ablation.axes import AXES
from scripts.lora_ablation.cells import read_cell
from scripts.lora_ablation.training.data import Cell
from scripts.lora_ablation.unit import train_units

CODE = stamps("scripts/lora_ablation/train.py")


def key(spec: dict, cell: Cell, threads: int) -> Path:
    """Folder of finished runs, named for all that can change one of them."""
    shared = {name: value for name, value in spec.items() if name != "units"}
    return Path(spec["arm"]) / digest(shared, CODE, versions(), threads, cell.digest())


def results(spec: dict, cell: Cell, threads: int, store: Path | None = None) -> list[dict]:
    """Result of each unit of the job, from `store` where it is finished already.

    A stack trains all units of the job together when the first one is missing.
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

    done = finished(spec["units"], compute, store)
    return list(progress(done, len(spec["units"]), spec["arm"]))


def history_rows(units: list[list], done: list[dict]) -> list[dict]:
    """A row per epoch: the axes, epoch (from 1), loss, val_accuracy."""
    return [
        dict(zip(AXES, unit, strict=True)) | {"epoch": epoch, "loss": loss, "val_accuracy": val}
        for unit, result in zip(units, done, strict=True)
        for epoch, (loss, val) in enumerate(result["history"], start=1)
    ]


def prediction_rows(units: list[list], done: list[dict], cell: Cell) -> list[dict]:
    """A row per run and adapter of the validation and test sets."""
    return [
        dict(zip(AXES[1:], unit[1:], strict=True))
        | {"row": int(row), "split": part}
        | {"label": cell.classes[cell.y[row]], "predicted": cell.classes[code]}
        for unit, result in zip(units, done, strict=True)
        for part, codes in result["predicted"].items()
        for row, code in zip(cell.parts[part], codes, strict=True)
    ]


if __name__ == "__main__":
    args = arguments(layout=Path, index=Path, features=[Path], store=Path, threads=int,
                     runs=Path, histories=Path, predictions=Path)  # fmt: skip
    spec, code = args.spec, stamps("scripts/lora_ablation/train.py")
    shared = {name: value for name, value in spec.items() if name != "units"}
    cell = read_cell(spec, read_layout(args.layout), args.index, args.features)
    store = args.store / spec["arm"] / digest(shared, code, versions(), args.threads, cell.digest())
    done = results(spec, cell, args.threads, store)
    write_runs(
        args.runs, [result["row"] for result in done], AXES, job=digest(spec, code), spec=spec
    )
    write_table(args.histories, history_rows(spec["units"], done))
    write_table(args.predictions, prediction_rows(spec["units"], done, cell))
