"""Train some folds of one data set by one arm.

Writes runs/{arm}/{data}-{block}.parquet (a row a fold), histories/ (a row an epoch: loss, val_nll,
val_qwk, lr), losses/ (a row a step: the loss before it), predictions/ (a row an answer of the test
students) and estimates/ (a row a question). Finished folds are kept under units/ and reused by a
job that needs them again.
"""

from pathlib import Path

import pyarrow as pa
import torch

from scripts.deep_gpcm.data.fold import Fold, read_fold
from scripts.deep_gpcm.jobs import AXES
from scripts.deep_gpcm.unit import Unit, train_unit, unit_tables
from scripts.lib.code import stamps
from scripts.lib.progress import progress
from scripts.lib.stage import arguments
from scripts.lib.tables import write_runs, write_table
from scripts.lib.units import finished, unit_folder

TABLES = ("histories", "losses", "predictions", "estimates")


def result(spec: dict, fold: Fold, unit: list, store: Path | None) -> Unit:
    """A unit, from `store` where it is finished already."""
    data = fold.digest() if store else ""
    (found,) = finished([unit], lambda unit: train_unit(spec, fold, unit), store, lambda _: data)
    return unit_tables(spec, fold, unit, found)


def results(
    spec: dict, folds: list[Path], items: Path, threads: int, store: Path | None = None
) -> list[Unit]:
    """The units of the job, spec["units"], in their order; `folds` has the file of each."""
    torch.set_num_threads(threads)
    pairs = zip(spec["units"], folds, strict=True)
    units = (
        result(spec, read_fold(path, items, spec["train"]["protocol"]), unit, store)
        for unit, path in pairs
    )
    return list(progress(units, len(folds), spec["arm"]))


if __name__ == "__main__":
    args = arguments(folds=[Path], items=Path, store=Path, threads=int, runs=Path,
                     **dict.fromkeys(TABLES, Path))  # fmt: skip
    code = stamps("scripts/deep_gpcm/train.py")
    store = unit_folder(args.store, args.spec, code, args.threads)
    units = results(args.spec, args.folds, args.items, args.threads, store)
    write_runs(args.runs, [unit.row for unit in units], AXES, spec=args.spec)
    for table in TABLES:
        parts = [pa.table(getattr(unit, table)) for unit in units]
        # Columns of a fold that diverged in its first epoch have no type.
        write_table(getattr(args, table), pa.concat_tables(parts, promote_options="permissive"))
