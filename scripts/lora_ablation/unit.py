"""What arms do, each of its functions one way to load tensors, to compute features or to train; and
what becomes of the runs of one cell: rows of the tables.

Arms name implementations of this module. Imports are inside them, so that an edit of what one uses
concerns its arms only. The original's two ways to load are slow on the authors' own files, whose
columns are list<list<float>> and whose `up` factors are thus thousands of lists of one number
(docs/studies/lora_ablation.md, Cost).
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from scripts.lib.confusion import confusion
from scripts.lib.implementations import implementation, implementations
from scripts.lib.run_rows import run_row
from scripts.lib.training_job import unit_key, unit_seed
from scripts.lora_ablation.data.cell import Cell
from scripts.lora_ablation.data.layout import Layout
from scripts.lora_ablation.models.run import Fit
from scripts.lora_ablation.specs import AXES, EARLY, FitJob, Train

if TYPE_CHECKING:
    import torch
    from datasets import Dataset

Row = dict[str, Any]
Wanted = list[tuple[str, list[int]]]  # representation and tensors of each result
Keys = Sequence[tuple]  # root seed and labels of each run


def chosen(name: str, device: str = "cpu") -> Callable[..., Any]:
    """The implementation of this name; those that compute on a GPU too take the `device` besides.

    Ways to load take (dataset, layout, rows) and give float32 [n, width]; ways to compute features
    (matrix [n, width], layout, wanted) and give the features of each wanted; trainers (cell, keys,
    options) and give the fit of each run.
    """
    function = implementations(__name__)[name]
    return function if device == "cpu" else partial(function, device=device)


@implementation
def formatted(dataset: "Dataset", layout: Layout, rows: range) -> np.ndarray:
    """Torch-formatted columns, as both visual-ablation scripts did."""
    dataset.reset_format()
    selected = dataset.select(rows).with_format("torch")
    return _joined([selected[name][:] for name in layout.names], len(rows))


@implementation
def python_lists(dataset: "Dataset", layout: Layout, rows: range) -> np.ndarray:
    """Plain columns, that is Python lists: an earlier fix of the authors."""
    import torch

    dataset.reset_format()
    selected = dataset.select(rows)
    columns = (selected[name][:] for name in layout.names)
    return _joined([torch.tensor(values, dtype=torch.float32) for values in columns], len(rows))


def _joined(columns: "list[torch.Tensor]", rows: int) -> np.ndarray:
    import torch

    return torch.cat([column.float().reshape(rows, -1) for column in columns], dim=1).numpy()


@implementation
def zero_copy(dataset: "Dataset", layout: Layout, rows: range) -> np.ndarray:
    """NumPy views of the Arrow buffers."""
    from scripts.lora_ablation.data.columns import to_matrix

    dataset.set_format("arrow")
    table = dataset[rows.start : rows.stop]
    return to_matrix(table, layout, [str(row) for row in rows])


@implementation
def loops(matrix: np.ndarray, layout: Layout, wanted: Wanted) -> list[np.ndarray]:
    """Every wanted representation anew, in the precision of the matrix."""
    from scripts.lora_ablation.representations.original import represent

    return [represent(matrix, layout, name, tensors) for name, tensors in wanted]


@implementation
def lowrank(matrix: np.ndarray, layout: Layout, wanted: Wanted) -> list[np.ndarray]:
    """The same with the randomised SVD of the original's optimised script."""
    from scripts.lora_ablation.representations.original import represent

    return [represent(matrix, layout, name, tensors, svd="lowrank") for name, tensors in wanted]


@implementation
def layerwise(matrix: np.ndarray, layout: Layout, wanted: Wanted) -> list[np.ndarray]:
    """Every number once, one tensor after the other (claim LPL-6 of config/claims.csv)."""
    from scripts.lora_ablation.representations.union import layerwise as compute
    from scripts.lora_ablation.representations.union import select

    numbers = compute(matrix, layout)
    return [select(numbers, name, tensors) for name, tensors in wanted]


@implementation
def union(matrix: np.ndarray, layout: Layout, wanted: Wanted) -> list[np.ndarray]:
    """Every number once, over all tensors."""
    from scripts.lora_ablation.representations.union import select
    from scripts.lora_ablation.representations.union import union as compute

    numbers = compute(matrix, layout)
    return [select(numbers, name, tensors) for name, tensors in wanted]


@implementation(devices=("cpu", "cuda"))
def batched(
    matrix: np.ndarray, layout: Layout, wanted: Wanted, device: str = "cpu"
) -> list[np.ndarray]:
    """Every number once, over all tensors, in PyTorch."""
    from scripts.lora_ablation.representations.catalogue import FAMILIES
    from scripts.lora_ablation.representations.on_device import numbers
    from scripts.lora_ablation.representations.union import select

    found = numbers(matrix, layout, list(FAMILIES), device)
    return [select(found, name, tensors) for name, tensors in wanted]


@implementation
def svdvals(matrix: np.ndarray, layout: Layout, wanted: Wanted) -> list[np.ndarray]:
    """Spectra by PyTorch's batched SVD; no other representation."""
    from scripts.lora_ablation.representations.peers import spectra, svdvals

    return [spectra(matrix, layout, tensors, svdvals) for _, tensors in wanted]


@implementation
def weightwatcher(matrix: np.ndarray, layout: Layout, wanted: Wanted) -> list[np.ndarray]:
    """Spectra by WeightWatcher; no other representation."""
    from scripts.lora_ablation.representations.peers import spectra, weightwatcher

    return [spectra(matrix, layout, tensors, weightwatcher) for _, tensors in wanted]


@implementation
def reference(cell: Cell, keys: Keys, train: Train) -> list[Fit]:
    """DataLoader, autograd, torch.optim.Adam; one run after the other; in either precision."""
    import torch

    from scripts.lora_ablation.models.reference import fit_reference

    dtype = torch.float64 if train.precision == "double" else torch.float32
    return [fit_reference(cell, key, train, dtype) for key in keys]


@implementation
def resident(cell: Cell, keys: Keys, train: Train) -> list[Fit]:
    """Data in memory, gradients in closed form; one run after the other."""
    from scripts.lora_ablation.models.stack import fit_stack

    return [fit_stack(cell, [key], train)[0] for key in keys]


@implementation(devices=("cpu", "cuda"))
def stacked(cell: Cell, keys: Keys, train: Train, device: str = "cpu") -> list[Fit]:
    """The same, the runs side by side."""
    from scripts.lib.gpu_stacks import fitting
    from scripts.lora_ablation.models.stack import fit_stack

    return fitting(lambda some: fit_stack(cell, some, train, device=device), keys)


# Controls, wrong on purpose: each is a bug that somebody could have made in the result arm, and has
# to fail the tests that the result arm passes.


@implementation
def unscaled(cell: Cell, keys: Keys, train: Train) -> list[Fit]:
    """Wrong: dropout does not divide by the share that it keeps; else `resident`."""
    from scripts.lora_ablation.models.stack import Backprop, fit_stack

    class Unscaled(Backprop):
        def __init__(self, *args: Any):
            super().__init__(*args)
            self.kept = 1.0

    return [fit_stack(cell, [key], train, gradient=Unscaled)[0] for key in keys]


@implementation
def off_by_one(matrix: np.ndarray, layout: Layout, wanted: Wanted) -> list[np.ndarray]:
    """Wrong: the quantiles of a tensor without its smallest value; else `union`."""
    from scripts.lora_ablation.representations import quantiles
    from scripts.lora_ablation.representations.union import COMPUTE, select
    from scripts.lora_ablation.representations.union import union as compute

    def wrong(x: np.ndarray) -> np.ndarray:
        return quantiles.compute(np.sort(x.reshape(len(x), 1, -1))[:, :, 1:])

    numbers = compute(matrix, layout, ways=COMPUTE | {"quantiles": wrong})
    return [select(numbers, name, tensors) for name, tensors in wanted]


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

    Of the stage `early` it has the loss of each step, where two implementations that differ by
    rounding have not drifted apart yet; of the stage `train` what the trained network is worth.
    """
    start, epochs = time.perf_counter(), len(fitted.history)
    seed, status = unit_seed(job, unit), "diverged" if fitted.diverged else "ok"
    row = run_row(job, AXES, unit, seed, status, **fitted.cost)
    row |= {"n_epochs": epochs, "n_steps": fitted.n_steps, "best_epoch": fitted.best_epoch}
    row |= {"hit_cap": float(epochs == job.train.max_epochs), "n_features": cell.x.shape[1]}
    row |= {"n_kept": fitted.n_kept, "n_parameters": fitted.n_parameters}
    row |= {f"n_{part}": len(rows) for part, rows in cell.parts.items()}
    if fitted.diverged:
        return row
    if unit[0] == EARLY:
        return row | {"early_losses": fitted.early_losses}
    for part, rows in cell.parts.items():
        scored = scores(cell.y[rows], fitted.predicted[rows], len(cell.classes))
        row |= {f"{part}_{name}": value for name, value in scored.items()}
    row["test_error"] = 1 - row["test_accuracy"]
    return row | {"eval_s": time.perf_counter() - start}


def train_units(job: FitJob, cell: Cell, units: list[list]) -> list[dict[str, Any]]:
    """{"row", "history", "predicted"} of each unit; predictions are class codes by part."""
    trainer = chosen(job.trainer, job.device)
    fits = trainer(cell, [unit_key(job, unit) for unit in units], job.train)
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
