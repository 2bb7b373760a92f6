"""What an arm may choose, by name: ways to load tensors, to compute features, to train.

Imports are inside, so that an edit of what one implementation uses concerns its arms only. The
original's two ways to load are slow on the authors' own files, whose columns are list<list<float>>
and whose `up` factors are thus thousands of lists of one number (docs/studies/lora_ablation.md,
Cost).
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from scripts.lib.implementations import implementation, implementations

if TYPE_CHECKING:
    import numpy as np
    import torch
    from datasets import Dataset

    from scripts.lora_ablation.data.cell import Cell
    from scripts.lora_ablation.data.layout import Layout
    from scripts.lora_ablation.models.run import Fit
    from scripts.lora_ablation.specs import Train

Wanted = list[tuple[str, list[int]]]  # representation and tensors of each result
Keys = Sequence[tuple]  # root seed and labels of each run


def chosen(name: str) -> Callable[..., Any]:
    """The implementation of this name.

    Ways to load take (dataset, layout, rows) and give float32 [n, width]; ways to compute features
    (matrix [n, width], layout, wanted) and give the features of each wanted; trainers (cell, keys,
    options) and give the fit of each run.
    """
    return implementations(__name__)[name]


@implementation
def formatted(dataset: "Dataset", layout: "Layout", rows: range) -> "np.ndarray":
    """Torch-formatted columns, as both visual-ablation scripts did."""
    dataset.reset_format()
    selected = dataset.select(rows).with_format("torch")
    return _joined([selected[name][:] for name in layout.names], len(rows))


@implementation
def python_lists(dataset: "Dataset", layout: "Layout", rows: range) -> "np.ndarray":
    """Plain columns, that is Python lists: an earlier fix of the authors."""
    import torch

    dataset.reset_format()
    selected = dataset.select(rows)
    columns = (selected[name][:] for name in layout.names)
    return _joined([torch.tensor(values, dtype=torch.float32) for values in columns], len(rows))


def _joined(columns: "list[torch.Tensor]", rows: int) -> "np.ndarray":
    import torch

    return torch.cat([column.float().reshape(rows, -1) for column in columns], dim=1).numpy()


@implementation
def zero_copy(dataset: "Dataset", layout: "Layout", rows: range) -> "np.ndarray":
    """NumPy views of the Arrow buffers."""
    from scripts.lora_ablation.data.columns import to_matrix

    dataset.set_format("arrow")
    table = dataset[rows.start : rows.stop]
    return to_matrix(table, layout, [str(row) for row in rows])


@implementation
def loops(matrix: "np.ndarray", layout: "Layout", wanted: Wanted) -> "list[np.ndarray]":
    """Every wanted representation anew."""
    from scripts.lora_ablation.representations.reference import represent

    return [represent(matrix, layout, name, tensors) for name, tensors in wanted]


@implementation
def lowrank(matrix: "np.ndarray", layout: "Layout", wanted: Wanted) -> "list[np.ndarray]":
    """The same with the randomised SVD of the original's optimised script."""
    from scripts.lora_ablation.representations.reference import represent

    return [represent(matrix, layout, name, tensors, svd="lowrank") for name, tensors in wanted]


@implementation
def layerwise(matrix: "np.ndarray", layout: "Layout", wanted: Wanted) -> "list[np.ndarray]":
    """Every number once, one tensor after the other (claim LPL-6 of config/claims.csv)."""
    from scripts.lora_ablation.representations.union import layerwise as compute
    from scripts.lora_ablation.representations.union import select

    numbers = compute(matrix, layout)
    return [select(numbers, name, tensors) for name, tensors in wanted]


@implementation
def union(matrix: "np.ndarray", layout: "Layout", wanted: Wanted) -> "list[np.ndarray]":
    """Every number once, over all tensors."""
    from scripts.lora_ablation.representations.union import select
    from scripts.lora_ablation.representations.union import union as compute

    numbers = compute(matrix, layout)
    return [select(numbers, name, tensors) for name, tensors in wanted]


@implementation
def reference(cell: "Cell", keys: Keys, train: "Train") -> "list[Fit]":
    """DataLoader, autograd, torch.optim.Adam; one run after the other."""
    from scripts.lora_ablation.models.reference import fit_reference

    return [fit_reference(cell, key, train) for key in keys]


@implementation
def resident(cell: "Cell", keys: Keys, train: "Train") -> "list[Fit]":
    """Data in memory, gradients in closed form; one run after the other."""
    from scripts.lora_ablation.models.stack import fit_stack

    return [fit_stack(cell, [key], train)[0] for key in keys]


@implementation
def stacked(cell: "Cell", keys: Keys, train: "Train") -> "list[Fit]":
    """The same, the runs side by side."""
    from scripts.lora_ablation.models.stack import fit_stack

    return fit_stack(cell, keys, train)
