"""Predict the test students of all folds of one data set by a simple or classical arm.

Writes runs (a row a fold), predictions (a row an answer of a test student) and estimates (a row a
fold and question). A fold whose fit does not converge is a failed row; its probabilities,
abilities and estimates are NaN. Learning is in `fit_s` and `cpu_s`, predicting in `predict_s`.
"""

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa

from scripts.deep_gpcm.data.fold import Fold, read_fold
from scripts.deep_gpcm.data.store import estimated, predicted
from scripts.deep_gpcm.jobs import AXES
from scripts.deep_gpcm.metrics import scores
from scripts.deep_gpcm.models.irt.baselines import ARMS, TruthMissing
from scripts.deep_gpcm.models.irt.partial_credit import Parameters, read_truth
from scripts.lib.seeds import seed63, stream
from scripts.lib.stage import arguments
from scripts.lib.tables import write_runs, write_table
from scripts.lib.timing import Phases


def result(
    spec: dict, number: int, fold: Fold, truth: Parameters | None, threads: int
) -> tuple[dict, dict, dict]:
    """Run row, and columns of predictions and of estimates, of one fold."""
    clock, test = Phases(), fold.parts["test"]
    learned = ARMS[spec["baseline"]](fold, truth)
    clock.lap("fit")
    cost = clock.columns()
    probability, theta = learned.predict(test)
    clock.lap("predict")
    nothing = np.full((fold.questions, fold.categories), np.nan)
    unit = {"arm": spec["arm"], "data": spec["data"], "fold": number}
    row = {
        "study": "deep_gpcm",
        **unit,
        "seed": seed63(stream(spec["seed"], "deep_gpcm", spec["data"], number)),
        "status": "ok" if learned.converged else "failed",
        **(scores(probability, test.response) if learned.converged else {}),
        "n_test": len(test.question),
        "n_train": sum(len(fold.parts[part].question) for part in ("train", "val")),
        **learned.counters,
        **cost,
        "predict_s": clock.seconds["predict"],
        "threads": threads,
        "device": "cpu",
    }
    alpha = nothing[:, 0] if learned.alpha is None else learned.alpha
    beta = nothing[:, 1:] if learned.beta is None else learned.beta
    return row, predicted(unit, test, probability, theta), estimated(unit, alpha, beta)


def results(
    spec: dict, folds: list[Path], items: Path, students: Path, threads: int
) -> tuple[list[dict], pa.Table, pa.Table]:
    """Rows, predictions, estimates of folds spec["folds"] in files `folds`; raises TruthMissing."""
    truth = read_truth(items, students)
    numbered = zip(spec["folds"], folds, strict=True)
    done = [result(spec, k, read_fold(path, items), truth, threads) for k, path in numbered]
    rows, *tables = zip(*done, strict=True)
    return list(rows), *(pa.concat_tables(map(pa.table, columns)) for columns in tables)


if __name__ == "__main__":
    args = arguments(folds=[Path], items=Path, students=Path, threads=int,
                     runs=Path, predictions=Path, estimates=Path)  # fmt: skip
    spec = args.spec
    try:
        done = results(spec, args.folds, args.items, args.students, args.threads)
    except TruthMissing as error:
        sys.exit(f"Data {spec['data']!r}: {error}")
    write_runs(args.runs, done[0], AXES, spec=spec)
    for path, table in zip((args.predictions, args.estimates), done[1:], strict=True):
        write_table(path, table)
