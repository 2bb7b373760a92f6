"""Ways to get the tensors of adapters out of a data set, by name: what arms of `load` do.

The two of the original's scripts are slow on the authors' own files, whose columns are
list<list<float>> and whose `up` factors are thus thousands of lists of one number
(docs/studies/lora_ablation.md, Cost).
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from datasets import Dataset

from scripts.lora_ablation.data.columns import to_matrix
from scripts.lora_ablation.data.layout import Layout
from scripts.lora_ablation.data.tabular import GROUP, LABEL, no_progress_bars


def formatted(dataset: Dataset, names: Sequence[str], rows: range) -> np.ndarray:
    """Rows through torch-formatted columns, as both visual-ablation scripts did; float32 [n, D].

    `names` are the data set's weight columns in layout order.
    """
    chosen = dataset.select(rows).with_format("torch")
    return _joined([chosen[name][:] for name in names], len(rows))


def python_lists(dataset: Dataset, names: Sequence[str], rows: range) -> np.ndarray:
    """Rows through plain columns, that is Python lists: an earlier fix; as `formatted`."""
    chosen = dataset.select(rows)
    columns = (chosen[name][:] for name in names)
    return _joined([torch.tensor(values, dtype=torch.float32) for values in columns], len(rows))


def _joined(columns: list[torch.Tensor], rows: int) -> np.ndarray:
    return torch.cat([column.float().reshape(rows, -1) for column in columns], dim=1).numpy()


def zero_copy(dataset: Dataset, layout: Layout, rows: range) -> np.ndarray:
    """Rows of a data set by NumPy views of its Arrow buffers; float32 [n, width]."""
    dataset.set_format("arrow")
    table = dataset[rows.start : rows.stop]
    return to_matrix(table, layout, [str(row) for row in rows])


def by_name(access: Callable, dataset: Dataset, layout: Layout, rows: range) -> np.ndarray:
    """Rows by one of the original's ways, which take column names."""
    dataset.reset_format()
    return access(dataset, layout.names, rows)


LOADERS = {
    "formatted": partial(by_name, formatted),
    "python_lists": partial(by_name, python_lists),
    "zero_copy": zero_copy,
}


def save_nested(
    matrix: np.ndarray,
    layout: Layout,
    labels: Sequence[str],
    path: str | Path,
    groups: Sequence[str] | None = None,
) -> None:
    """Save adapters as the authors' data sets are: list<list<float>> columns, `save_to_disk`."""
    columns = {LABEL: pa.array(labels, pa.string())}
    if groups is not None:
        columns[GROUP] = pa.array(groups, pa.string())
    for name, shape, start in zip(layout.names, layout.shapes, layout.offsets, strict=False):
        columns[name] = nested(matrix[:, start : start + shape[0] * shape[1]], shape)
    with no_progress_bars():
        Dataset(pa.table(columns)).save_to_disk(str(path))


def nested(values: np.ndarray, shape: tuple[int, int]) -> pa.ListArray:
    """Matrix [rows, p * q] as a list<list<float>> array of `rows` times (p, q)."""
    rows, (p, q) = len(values), shape
    numbers = pa.array(np.ascontiguousarray(values).reshape(-1))
    inner = pa.ListArray.from_arrays(np.arange(0, rows * p * q + 1, q, np.int32), numbers)
    return pa.ListArray.from_arrays(np.arange(0, rows * p + 1, p, np.int32), inner)
