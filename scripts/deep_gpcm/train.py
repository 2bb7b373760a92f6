"""Train some folds of one data set by one arm.

Writes runs/{arm}/{data}-{block}.parquet (a row a fold), histories/ (a row an epoch: loss, val_nll,
val_qwk, lr), losses/ (a row a step: the loss before it), predictions/ (a row an answer of the test
students) and estimates/ (a row a question).
"""

from pathlib import Path

import pyarrow as pa
import torch

from scripts.deep_gpcm.axes import AXES
from scripts.deep_gpcm.fold import read_fold
from scripts.deep_gpcm.unit import Unit, train_unit
from scripts.lib.progress import progress
from scripts.lib.stage import arguments
from scripts.lib.tables import write_runs, write_table


def results(spec: dict, folds: list[Path], items: Path, threads: int) -> list[Unit]:
    """The units of the job, in the order of its folds."""
    torch.set_num_threads(threads)
    numbered = progress(zip(spec["folds"], folds, strict=True), len(folds), spec["arm"])
    return [
        train_unit(spec, read_fold(path, items, spec["train"]["protocol"]), [spec["data"], fold])
        for fold, path in numbered
    ]


if __name__ == "__main__":
    args = arguments(folds=[Path], items=Path, threads=int, runs=Path, histories=Path, losses=Path,
                     predictions=Path, estimates=Path)  # fmt: skip
    done = results(args.spec, args.folds, args.items, args.threads)
    write_runs(args.runs, [unit.row for unit in done], AXES, spec=args.spec)
    for table in ("histories", "losses", "predictions", "estimates"):
        parts = [pa.table(getattr(unit, table)) for unit in done]
        # Columns of a fold that diverged in its first epoch have no type.
        write_table(getattr(args, table), pa.concat_tables(parts, promote_options="permissive"))
