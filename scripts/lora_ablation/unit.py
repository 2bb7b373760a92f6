"""Runs of one cell: train them by the job's trainer, evaluate, give their rows."""

import time

import numpy as np
import torch

from scripts.lib.seeds import seed63, stream
from scripts.lora_ablation.axes import AXES
from scripts.lora_ablation.training.data import Cell
from scripts.lora_ablation.training.run import Fit
from scripts.lora_ablation.training.scores import scores
from scripts.lora_ablation.training.stack import fit_stack


def fit_all(spec: dict, cell: Cell, keys: list[tuple]) -> list[Fit]:
    """Fits of these runs by the trainer of the job."""
    train = spec["train"]
    if spec["trainer"] == "stacked":
        return fit_stack(cell, keys, train)
    if spec["trainer"] == "resident":
        return [fit_stack(cell, [key], train)[0] for key in keys]
    # Imported here: scikit-learn costs every other job a second.
    from scripts.lora_ablation.training.reference import fit_reference

    return [fit_reference(cell, key, train) for key in keys]


def row_of(spec: dict, cell: Cell, unit: list, fitted: Fit) -> dict:
    """Run row of a fit. `early_loss` is the training loss of epoch 1,
    where two implementations that differ by rounding have not drifted apart yet."""
    start = time.perf_counter()
    train = spec["train"]
    row = {"study": "lora_ablation", "arm": spec["arm"], **dict(zip(AXES, unit, strict=True))}
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
        found = scores(cell.y[rows], fitted.predicted[rows], len(cell.classes))
        row |= {f"{part}_{name}": value for name, value in found.items()}
    row |= {"test_error": 1 - row["test_accuracy"], "status": "ok"}
    row["early_loss"] = fitted.history[0][0]
    row["eval_s"] = time.perf_counter() - start
    return row


def key_of(spec: dict, unit: list) -> tuple:
    """Root seed and labels of a unit's streams: arms share them, and so do all their stages."""
    return (spec["seed"], "lora_ablation", *unit)


def train_units(spec: dict, cell: Cell, units: list[list]) -> list[dict]:
    """{"row", "history", "predicted"} of each unit; predictions are class codes by part."""
    fits = fit_all(spec, cell, [key_of(spec, unit) for unit in units])
    return [
        {
            "row": row_of(spec, cell, unit, fitted),
            "history": fitted.history,
            "predicted": {part: as_list(fitted.predicted[cell.parts[part]])
                          for part in ("val", "test")},
        }
        for unit, fitted in zip(units, fits, strict=True)
    ]  # fmt: skip


def as_list(codes: np.ndarray) -> list[int]:
    return [int(code) for code in codes]
