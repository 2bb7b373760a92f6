"""Runs of one cell: train them by the job's trainer, score them, give their rows and tables."""

import time

import numpy as np
import torch

from scripts.lib.seeds import seed63, stream
from scripts.lora_ablation.data.cell import Cell
from scripts.lora_ablation.models.run import Fit
from scripts.lora_ablation.models.stack import fit_stack


def fit_all(spec: dict, cell: Cell, keys: list[tuple]) -> list[Fit]:
    """Fits of these runs by the trainer of the job."""
    train = spec["train"]
    if spec["trainer"] == "stacked":
        return fit_stack(cell, keys, train)
    if spec["trainer"] == "resident":
        return [fit_stack(cell, [key], train)[0] for key in keys]
    # Imported here: scikit-learn costs every other job a second.
    from scripts.lora_ablation.models.reference import fit_reference

    return [fit_reference(cell, key, train) for key in keys]


def key_of(spec: dict, unit: list) -> tuple:
    """Root seed and labels of a unit's streams: arms share them, and so do all their stages."""
    return (spec["seed"], "lora_ablation", *unit)


def labels_of(spec: dict, unit: list) -> dict:
    """The axes with the values that name a unit."""
    return dict(zip(spec["axes"], unit, strict=True))


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


def row_of(spec: dict, cell: Cell, unit: list, fitted: Fit) -> dict:
    """Run row of a fit.

    `early_loss` is the training loss of epoch 1, where two implementations that differ by rounding
    have not drifted apart yet.
    """
    start = time.perf_counter()
    train = spec["train"]
    row = {"study": "lora_ablation", "arm": spec["arm"], **labels_of(spec, unit)}
    row |= {"seed": seed63(stream(*key_of(spec, unit))), "status": "diverged"}
    row |= {"threads": torch.get_num_threads(), "device": "cpu"}
    epochs = len(fitted.history)
    row |= {"n_epochs": epochs, "n_steps": fitted.n_steps, "best_epoch": fitted.best_epoch}
    row |= {"hit_cap": float(epochs == train["max_epochs"]), "n_features": cell.x.shape[1]}
    row |= {"n_kept": fitted.n_kept, "n_parameters": fitted.n_parameters}
    row |= {f"n_{part}": len(rows) for part, rows in cell.parts.items()} | fitted.cost
    if fitted.diverged:
        return row
    for part, rows in cell.parts.items():
        scored = scores(cell.y[rows], fitted.predicted[rows], len(cell.classes))
        row |= {f"{part}_{name}": value for name, value in scored.items()}
    row |= {"test_error": 1 - row["test_accuracy"], "status": "ok"}
    row["early_loss"] = fitted.history[0][0]
    row["eval_s"] = time.perf_counter() - start
    return row


def train_units(spec: dict, cell: Cell, units: list[list]) -> list[dict]:
    """{"row", "history", "predicted"} of each unit; predictions are class codes by part."""
    fits = fit_all(spec, cell, [key_of(spec, unit) for unit in units])
    return [
        {
            "row": row_of(spec, cell, unit, fitted),
            "history": fitted.history,
            "predicted": {
                part: fitted.predicted[cell.parts[part]].tolist() for part in ("val", "test")
            },
        }
        for unit, fitted in zip(units, fits, strict=True)
    ]


def history_rows(spec: dict, results: list[dict]) -> list[dict]:
    """A row per epoch of the job's units: the axes, epoch (from 1), loss, val_accuracy."""
    return [
        labels_of(spec, unit) | {"epoch": epoch, "loss": loss, "val_accuracy": val_accuracy}
        for unit, result in zip(spec["units"], results, strict=True)
        for epoch, (loss, val_accuracy) in enumerate(result["history"], start=1)
    ]


def prediction_rows(spec: dict, results: list[dict], cell: Cell) -> list[dict]:
    """A row per run and adapter of the validation and test sets, without the axis `stage`."""
    return [
        {axis: value for axis, value in labels_of(spec, unit).items() if axis != "stage"}
        | {"row": int(row), "split": part}
        | {"label": cell.classes[cell.y[row]], "predicted": cell.classes[code]}
        for unit, result in zip(spec["units"], results, strict=True)
        for part, codes in result["predicted"].items()
        for row, code in zip(cell.parts[part], codes, strict=True)
    ]
