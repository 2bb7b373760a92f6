"""Train one fold by one arm.

Writes runs/{arm}/{data}-{fold}.parquet (one row), histories/ (a row an epoch: loss, val_nll,
val_qwk, lr), losses/ (a row a step: the loss before it), predictions/ (a row an answer of the test
students) and estimates/ (a row a question).
"""

from pathlib import Path

import torch

from scripts.deep_gpcm.axes import AXES
from scripts.deep_gpcm.fold import read_fold
from scripts.deep_gpcm.unit import Unit, train_unit
from scripts.lib.code import stamps
from scripts.lib.spec import digest
from scripts.lib.stage import arguments
from scripts.lib.tables import write_runs, write_table


def result(spec: dict, fold: Path, items: Path, threads: int) -> Unit:
    """The unit of the job."""
    torch.set_num_threads(threads)
    data = read_fold(fold, items, spec["train"]["protocol"])
    return train_unit(spec, data, spec["unit"])


if __name__ == "__main__":
    args = arguments(fold=Path, items=Path, threads=int, runs=Path, histories=Path, losses=Path,
                     predictions=Path, estimates=Path)  # fmt: skip
    job = digest(args.spec, stamps("scripts/deep_gpcm/train.py"))
    done = result(args.spec, args.fold, args.items, args.threads)
    write_runs(args.runs, [done.row], AXES, job=job, spec=args.spec)
    for table in ("histories", "losses", "predictions", "estimates"):
        write_table(getattr(args, table), getattr(done, table))
