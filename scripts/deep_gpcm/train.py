"""Train some folds of one data set by one arm.

Writes runs/{arm}/{data}-{block}.parquet (a row a fold), histories/ (a row an epoch: loss, val_nll,
val_qwk, lr), losses/ (a row a step: the loss before it), predictions/ (a row an answer of the test
students) and estimates/ (a row a question). Finished folds are kept under units/ and reused by a
job that needs them again.
"""

from pathlib import Path

import pyarrow as pa

from scripts.deep_gpcm.data.fold import Fold, read_fold
from scripts.deep_gpcm.specs import AXES, GpcmJob
from scripts.deep_gpcm.unit import Unit, train_unit, unit_tables
from scripts.lib.progress import progress
from scripts.lib.run_rows import write_runs
from scripts.lib.stage import stage
from scripts.lib.table_files import write_table
from scripts.lib.units import finished, unit_folder


def result(job: GpcmJob, fold: Fold, unit: list) -> Unit:
    """A unit, from the store where it is finished already."""
    store = unit_folder(job)
    data = fold.digest() if store else ""
    (found,) = finished([unit], lambda unit: train_unit(job, fold, unit), store, lambda _: data)
    return unit_tables(job, fold, unit, found)


def results(job: GpcmJob, folds: list[Path], items: Path) -> list[Unit]:
    """The units of the job in their order; `folds` has the file of each."""
    units = (
        result(job, read_fold(path, items, job.train.protocol), unit)
        for unit, path in zip(job.units, folds, strict=True)
    )
    return list(progress(units, len(folds), job.arm))


def main(
    spec: GpcmJob, folds: list[Path], item_table: Path,
    runs: Path, histories: Path, losses: Path, predictions: Path, estimates: Path,
) -> None:  # fmt: skip
    units = results(spec, folds, item_table)
    write_runs(runs, [unit.row for unit in units], AXES)
    paths = {"histories": histories, "losses": losses}
    paths |= {"predictions": predictions, "estimates": estimates}
    for table, path in paths.items():
        parts = [pa.table(getattr(unit, table)) for unit in units]
        # Columns of a fold that diverged in its first epoch have no type.
        write_table(path, pa.concat_tables(parts, promote_options="permissive"))


if __name__ == "__main__":
    stage(main)
