"""Predict the test students of all folds of one data set by a simple or classical arm.

Writes runs (a row a fold), predictions (a row an answer of a test student) and estimates (a row a
fold and question). A fold whose fit does not converge is a failed row; its probabilities,
abilities and estimates are NaN. Learning is in `fit_s` and `cpu_s`, predicting in `predict_s`.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from scripts.deep_gpcm.data.fold import Fold, read_fold
from scripts.deep_gpcm.data.store import estimated, predicted
from scripts.deep_gpcm.metrics import scores
from scripts.deep_gpcm.models.irt.baselines import TruthMissing, learn
from scripts.deep_gpcm.models.irt.partial_credit import Parameters, read_truth
from scripts.deep_gpcm.specs import AXES, BaselineJob
from scripts.lib.faults import LoadError
from scripts.lib.run_rows import run_row, write_runs
from scripts.lib.stage import stage
from scripts.lib.table_files import write_table
from scripts.lib.timing import Phases
from scripts.lib.training_job import unit_seed

Columns = dict[str, Any]


def result(
    job: BaselineJob, unit: list, fold: Fold, truth: Parameters | None
) -> tuple[Columns, Columns, Columns]:
    """Run row, and columns of predictions and of estimates, of one fold."""
    clock, test = Phases(), fold.parts["test"]
    learned = learn(job.baseline, fold, truth)
    clock.lap("fit")
    cost = clock.columns()
    probability, theta = learned.predict(test)
    clock.lap("predict")
    nothing = np.full((fold.questions, fold.categories), np.nan)
    labels = {"arm": job.arm, **dict(zip(AXES, unit, strict=True))}
    status = "ok" if learned.converged else "failed"
    row = run_row(job, AXES, unit, unit_seed(job, unit), status, **cost)
    row |= scores(probability, test.response) if learned.converged else {}
    row |= {"n_test": len(test.question), "predict_s": clock.seconds["predict"]}
    row |= {"n_train": sum(len(fold.parts[part].question) for part in ("train", "val"))}
    row |= learned.counters
    alpha = nothing[:, 0] if learned.alpha is None else learned.alpha
    beta = nothing[:, 1:] if learned.beta is None else learned.beta
    return row, predicted(labels, test, probability, theta), estimated(labels, alpha, beta)


def results(
    job: BaselineJob, folds: list[Path], items: Path, students: Path
) -> tuple[list[Columns], pa.Table, pa.Table]:
    """Rows, predictions, estimates of the job's units; `folds` has the file of each.

    LoadError where a model needs true parameters that the data do not come with.
    """
    truth = read_truth(items, students)
    pairs = list(zip(job.units, folds, strict=True))
    try:
        done = [result(job, unit, read_fold(path, items), truth) for unit, path in pairs]
    except TruthMissing as error:
        raise LoadError(f"Data {job.units[0][0]!r}: {error}") from None
    rows, *tables = zip(*done, strict=True)
    return list(rows), *(pa.concat_tables(map(pa.table, columns)) for columns in tables)


def main(
    spec: BaselineJob, folds: list[Path], item_table: Path, students: Path,
    runs: Path, predictions: Path, estimates: Path,
) -> None:  # fmt: skip
    rows, *tables = results(spec, folds, item_table, students)
    write_runs(runs, rows, AXES)
    for path, table in zip((predictions, estimates), tables, strict=True):
        write_table(path, table)


if __name__ == "__main__":
    stage(main)
