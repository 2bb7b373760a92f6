"""The ways to load tensors and to compute features, by name: what arms of these stages do."""

from functools import partial

import datasets
import numpy as np

from scripts.lora_ablation.adapters import shipped
from scripts.lora_ablation.adapters.columns import to_matrix
from scripts.lora_ablation.layout import Layout
from scripts.lora_ablation.representations import reference
from scripts.lora_ablation.representations.layerwise import layerwise
from scripts.lora_ablation.representations.union import select, union


def zero_copy(dataset: datasets.Dataset, layout: Layout, rows: range) -> np.ndarray:
    """Rows of a data set by NumPy views of its Arrow buffers; float32 [n, width]."""
    dataset.set_format("arrow")
    table = dataset[rows.start : rows.stop]
    return to_matrix(table, layout, [str(row) for row in rows])


def by_name(access, dataset: datasets.Dataset, layout: Layout, rows: range) -> np.ndarray:
    """Rows by one of the shipped accesses, which take column names."""
    dataset.reset_format()
    return access(dataset, layout.names, rows)


LOADERS = {
    "formatted": partial(by_name, shipped.formatted),
    "python_lists": partial(by_name, shipped.python_lists),
    "zero_copy": zero_copy,
}


def each_for_itself(represent, matrix: np.ndarray, layout: Layout, wanted: list) -> list:
    """Every wanted (representation, tensors) computed anew."""
    return [represent(matrix, layout, name, tensors) for name, tensors in wanted]


def selections(compute, matrix: np.ndarray, layout: Layout, wanted: list) -> list[np.ndarray]:
    """Every number computed once; the wanted (representation, tensors) are selections."""
    numbers = compute(matrix, layout)
    return [select(numbers, name, tensors) for name, tensors in wanted]


# (matrix [rows, width], layout, [(representation, tensors), ...]) -> features of each.
FEATURES = {
    "loops": partial(each_for_itself, reference.represent),
    "lowrank": partial(each_for_itself, partial(reference.represent, svd="lowrank")),
    "layerwise": partial(selections, layerwise),
    "union": partial(selections, union),
}
