"""Which runs there are, which test rows they got right, accuracy of each cell and its intervals."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from scripts.lib.faults import ContractError
from scripts.lib.seeds import numpy_rng
from scripts.lib.stats import wilson

CELL = ["representation", "layers", "share"]
RUN = [*CELL, "run"]  # the columns that name a run of the stage `train`
BLOCK = 2**22  # resampled rows held at a time: 32 MB as float64
FULL = 100  # per cent of the training rows: the share that drops are about
# Column of grid.csv: column of runs.parquet that it is the mean of, over finished runs.
MEANS = {
    "train_accuracy": "train_accuracy",
    "val_accuracy": "val_accuracy",
    "f1": "test_f1",
    "n_train": "n_train",
    "n_features": "n_features",
    "n_kept": "n_kept",
    "n_parameters": "n_parameters",
    "epochs": "n_epochs",
    "fit_s": "fit_s",
}
GRID = [
    *(*CELL, "runs", "accuracy", "sd_runs", "wilson_low", "wilson_high", "boot_low", "boot_high"),
    *("train_accuracy", "val_accuracy", "f1", "chance", "majority", "n_test", "n_train"),
    *("n_features", "n_kept", "n_parameters", "epochs", "fit_s"),
]
CURVE = [
    *("representation", "share", "n_train", "accuracy", "boot_low", "boot_high"),
    "train_accuracy",
]


class Outcome(NamedTuple):
    """What the tables are made of.

    complete: every expected run with its status; runs: rows of the finished ones, in the same
    order; hits [test rows, cells]: how many of the cell's finished runs were right on the row;
    labels [test rows]; classes: how many labels occur in labels or predictions.
    """

    complete: pd.DataFrame
    runs: pd.DataFrame
    hits: pd.DataFrame
    labels: pd.Series
    classes: int

    def per_run(self, hits: pd.DataFrame) -> pd.DataFrame:
        """Hits, or means of them, by cell as a share of the cell's finished runs."""
        counts = self.runs.groupby(CELL).size()
        return hits / counts.reindex(hits.columns).to_numpy()


def completeness(runs: pd.DataFrame, arm: str, expected: list[list]) -> pd.DataFrame:
    """The expected runs, in their order, each with its row of `runs`; `status` may be "missing".

    Rows are matched by all four axes, so a missing run cannot shift another one.
    """
    trained = runs[(runs["stage"] == "train") & (runs["arm"] == arm)]
    trained = trained.astype({"share": float, "run": "int64"})
    wanted = pd.DataFrame(expected, columns=RUN).astype({"run": "int64"})
    found = wanted.merge(trained, on=RUN, how="left", validate="one_to_one")
    found["share"] = wanted["share"]
    return found.assign(status=found["status"].fillna("missing"))


def grid_state(complete: pd.DataFrame) -> str:
    """The state of the grid in one line that names every run that did not finish."""
    lost = complete[complete["status"] != "ok"]
    state = "incomplete" if len(lost) else "complete"
    line = f"grid {state}: {len(complete) - len(lost)} of {len(complete)} runs"
    for status, part in lost.groupby("status", sort=False):
        names = ("/".join(map(str, key)) for key in part[RUN].itertuples(index=False))
        line += f"; {status}: {', '.join(names)}"
    return line


def right_by_run(test: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """1 where run `at` (column, a position in `runs`) is right on a test row, else 0.

    Raises ContractError unless every run predicts every test row once, and is as accurate
    as its test_accuracy.
    """
    if test.duplicated(["at", "row"]).any():
        raise ContractError("A finished run predicts a test row twice.")
    right = test.assign(right=(test["label"] == test["predicted"]).astype(float))
    right = right.pivot(index="row", columns="at", values="right").reindex(columns=runs.index)
    lacking = right.notna().sum() < max(1, len(right))
    error = (right.mean() - runs["test_accuracy"].to_numpy(float)).abs()
    for wrong, why in (
        (lacking, "finished, but not every test row is predicted"),
        (error > 0.5 / max(1, len(right)), "its predictions are not as accurate as test_accuracy"),
    ):
        if wrong.any():
            key = "/".join(str(runs[axis][wrong.idxmax()]) for axis in RUN)
            raise ContractError(f"{key}: {why}.")
    return right


def outcome(
    runs: pd.DataFrame, predictions: pd.DataFrame, arm: str, expected: list[list]
) -> Outcome:
    """Join predictions to the finished ones among the expected runs, by axes and test row.

    Neither the order of the rows nor predictions of other runs matter. Raises ContractError if
    predictions and runs contradict each other, or if a test row has two labels.
    """
    complete = completeness(runs, arm, expected)
    finished = complete[complete["status"] == "ok"].reset_index(drop=True)
    known = predictions.merge(finished[RUN].assign(at=finished.index), on=RUN)
    test = known[known["split"] == "test"]
    labels = test[["row", "label"]].drop_duplicates().set_index("row")["label"].sort_index()
    if labels.index.has_duplicates:
        raise ContractError(f"Test row {labels.index[labels.index.duplicated()][0]}: two labels.")
    right = right_by_run(test, finished)
    cell = finished.groupby(CELL, sort=False).ngroup().to_numpy()
    hits = right.T.groupby(cell).sum().T
    hits.columns = pd.MultiIndex.from_frame(finished[CELL].drop_duplicates())
    classes = pd.concat([known["label"], known["predicted"]]).nunique()
    return Outcome(complete, finished, hits, labels, classes)


def resampled_means(hits: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Column means over bootstrap samples of the rows: [rows, columns] -> [draws, columns].

    One sample serves all columns, so differences of columns are paired. `hits` are whole numbers:
    their sums are exact, so no column depends on which others there are. NaN for a single row,
    which says nothing about its own spread. Random: the samples, from `rng`.
    """
    n, columns = hits.shape
    if n < 2:
        return np.full((draws, columns), np.nan)
    means, size = np.empty((draws, columns)), max(1, BLOCK // n)
    for start in range(0, draws, size):
        block = means[start : start + size]
        rows = rng.integers(0, n, (len(block), n)) + n * np.arange(len(block))[:, None]
        times = np.bincount(rows.ravel(), minlength=rows.size).reshape(rows.shape)
        block[:] = times.astype(float) @ hits / n
    return means


def percentiles(resampled: np.ndarray, confidence: float) -> tuple[float, float]:
    """Percentile interval of resampled values [draws]."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return float(low), float(high)


def resampled_accuracy(found: Outcome, draws: int, seed: int) -> pd.DataFrame:
    """Accuracy of every cell on bootstrap samples of the test rows [draws, cells].

    Random: the samples, by the stream (seed, "lora_ablation", "test rows"); all cells share them.
    """
    rng = numpy_rng(seed, "lora_ablation", "test rows")
    means = resampled_means(found.hits.to_numpy(), draws, rng)
    return found.per_run(pd.DataFrame(means, columns=found.hits.columns))


def grid(found: Outcome, resampled: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """One row per cell that has a finished run; accuracies are shares in [0, 1].

    accuracy: mean over runs; sd_runs: over initialisations only, with ddof 1; the intervals are
    about the choice of test rows.
    """
    rows, n = [], len(found.labels)
    accuracy = found.per_run(found.hits.sum().to_frame().T / n).iloc[0] if n else {}
    majority = found.labels.value_counts().max() / n if n else None
    for cell, part in found.runs.groupby(CELL, sort=False):
        # Of the mean of several runs it is that of one with this accuracy: too wide, if anything.
        wilson_low, wilson_high = wilson(accuracy[cell], n, confidence)
        boot_low, boot_high = percentiles(resampled[cell].to_numpy(), confidence)
        row = dict(zip(CELL, cell, strict=True)) | {"runs": len(part), "accuracy": accuracy[cell]}
        row |= {"sd_runs": part["test_accuracy"].std(ddof=1)}
        row |= {"wilson_low": wilson_low, "wilson_high": wilson_high}
        row |= {"boot_low": boot_low, "boot_high": boot_high}
        row |= {"chance": 1 / found.classes, "majority": majority, "n_test": n}
        rows.append(row | {name: part[column].mean() for name, column in MEANS.items()})
    return pd.DataFrame(rows, columns=GRID)


def curve(cells: pd.DataFrame) -> pd.DataFrame:
    """Learning curves from the grid: all layers, by representation and share."""
    rows = cells.loc[cells["layers"] == "all", CURVE]
    order = np.lexsort((rows["share"], pd.factorize(rows["representation"])[0]))
    return rows.iloc[order].reset_index(drop=True)
