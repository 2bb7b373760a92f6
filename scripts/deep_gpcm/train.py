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
from scripts.deep_gpcm.unit import Columns, Unit, train_units, unit_tables
from scripts.lib.progress import progress
from scripts.lib.run_rows import write_runs
from scripts.lib.stage import stage
from scripts.lib.table_files import write_table
from scripts.lib.units import alone, finished, unit_folder


def together(job: GpcmJob, units: list[list], folds: list[Fold]) -> list[Unit]:
    """Units that are trained together, from the store where they are finished already."""
    fold_of, store = dict(zip(map(tuple, units), folds, strict=True)), unit_folder(job)

    def compute(some: list[list]) -> list[Columns]:
        return train_units(job, [fold_of[tuple(unit)] for unit in some], some)

    found = finished([units], compute, store, lambda unit: fold_of[tuple(unit)].digest())
    return [unit_tables(job, *each) for each in zip(folds, units, found, strict=True)]


def results(job: GpcmJob, folds: list[Path], items: Path) -> list[Unit]:
    """The units of the job in their order; `folds` has the file of each."""
    stacks = [job.units] if job.trainer == "stacked" else alone(job.units)
    paths = iter(folds)
    units = (
        unit
        for stack in stacks
        for unit in together(
            job, stack, [read_fold(next(paths), items, job.train.protocol) for _ in stack]
        )
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
