"""Runs of one cell: train them as the job says, score them, give their rows and tables."""

import time
from typing import Any

import numpy as np

from scripts.lib.run_rows import run_row
from scripts.lib.seeds import seed63, stream
from scripts.lora_ablation.arms import chosen
from scripts.lora_ablation.data.cell import Cell
from scripts.lora_ablation.models.run import Fit
from scripts.lora_ablation.specs import AXES, FitJob

Row = dict[str, Any]


def key_of(job: FitJob, unit: list) -> tuple:
    """Root seed and labels of a unit's streams: arms share them, and so do all their stages."""
    return (job.seed, job.study, *unit)


def confusion(truth: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Counts (classes, classes): row true class, column predicted class."""
    counts = np.bincount(truth * classes + predicted, minlength=classes**2)
    return counts.reshape(classes, classes)


def scores(truth: np.ndarray, predicted: np.ndarray, classes: int) -> dict[str, float]:
    """Accuracy, and precision, recall and F1 as means over the classes that occur in either.

    A class that is never predicted has precision 0, one that never occurs recall 0 (what
    scikit-learn does with `zero_division=0`).
    """
    counts = confusion(truth, predicted, classes)
    right, true, called = np.diag(counts), counts.sum(1), counts.sum(0)
    present = true + called > 0
    precision = (right / np.maximum(called, 1))[present]
    recall = (right / np.maximum(true, 1))[present]
    f1 = (2 * right / np.maximum(true + called, 1))[present]
    return {
        "accuracy": float(right.sum() / len(truth)),
        "f1": float(f1.mean()),
        "precision": float(precision.mean()),
        "recall": float(recall.mean()),
    }


def row_of(job: FitJob, cell: Cell, unit: list, fitted: Fit) -> Row:
    """Run row of a fit.

    `early_loss` is the training loss of epoch 1, where two implementations that differ by rounding
    have not drifted apart yet.
    """
    start, epochs = time.perf_counter(), len(fitted.history)
    seed, status = seed63(stream(*key_of(job, unit))), "diverged" if fitted.diverged else "ok"
    row = run_row(job, AXES, unit, seed, status, **fitted.cost)
    row |= {"n_epochs": epochs, "n_steps": fitted.n_steps, "best_epoch": fitted.best_epoch}
    row |= {"hit_cap": float(epochs == job.train.max_epochs), "n_features": cell.x.shape[1]}
    row |= {"n_kept": fitted.n_kept, "n_parameters": fitted.n_parameters}
    row |= {f"n_{part}": len(rows) for part, rows in cell.parts.items()}
    if fitted.diverged:
        return row
    for part, rows in cell.parts.items():
        scored = scores(cell.y[rows], fitted.predicted[rows], len(cell.classes))
        row |= {f"{part}_{name}": value for name, value in scored.items()}
    row |= {"test_error": 1 - row["test_accuracy"], "early_loss": fitted.history[0][0]}
    return row | {"eval_s": time.perf_counter() - start}


def train_units(job: FitJob, cell: Cell, units: list[list]) -> list[dict[str, Any]]:
    """{"row", "history", "predicted"} of each unit; predictions are class codes by part."""
    fits = chosen(job.trainer)(cell, [key_of(job, unit) for unit in units], job.train)
    return [
        {
            "row": row_of(job, cell, unit, fitted),
            "history": fitted.history,
            "predicted": {
                part: fitted.predicted[cell.parts[part]].tolist() for part in ("val", "test")
            },
        }
        for unit, fitted in zip(units, fits, strict=True)
    ]


def history_rows(units: list[list], results: list[dict[str, Any]]) -> list[Row]:
    """A row per epoch of each unit: the axes, epoch (from 1), loss, val_accuracy."""
    return [
        dict(zip(AXES, unit, strict=True))
        | {"epoch": epoch, "loss": loss, "val_accuracy": val_accuracy}
        for unit, result in zip(units, results, strict=True)
        for epoch, (loss, val_accuracy) in enumerate(result["history"], start=1)
    ]


def prediction_rows(units: list[list], results: list[dict[str, Any]], cell: Cell) -> list[Row]:
    """A row per run and adapter of the validation and test sets, without the axis `stage`."""
    return [
        dict(zip(AXES[1:], unit[1:], strict=True))
        | {"row": int(row), "split": part}
        | {"label": cell.classes[cell.y[row]], "predicted": cell.classes[code]}
        for unit, result in zip(units, results, strict=True)
        for part, codes in result["predicted"].items()
        for row, code in zip(cell.parts[part], codes, strict=True)
    ]
