"""Families over all tensors of all adapters: tensors of equal shape together, in cached chunks."""

import math
from collections.abc import Callable, Iterator

import numpy as np

from scripts.lora_ablation.data.layout import DOWN, UP, Layout, stem

# Measured: fewer numpy calls up to here, no slower cache until beyond.
CHUNK_BYTES = 1 << 20


def family_features(
    matrix: np.ndarray, layout: Layout, compute: Callable, k: int, chunk_bytes: int = CHUNK_BYTES
) -> np.ndarray:
    """The k numbers of `compute` for every tensor of every adapter.

    matrix float32 [rows, layout.width], maybe a memory map -> float32 [rows, tensors * k], a
    tensor's numbers side by side. Beside the result, memory is that of a chunk. No chunk size
    changes a number.
    """
    return families_features(matrix, layout, {"": (compute, k)}, chunk_bytes)[""]


def families_features(
    matrix: np.ndarray,
    layout: Layout,
    families: dict[str, tuple[Callable, int]],
    chunk_bytes: int = CHUNK_BYTES,
) -> dict[str, np.ndarray]:
    """`family_features` of several families (compute, k), each chunk gathered once for all."""
    matrix = np.asarray(matrix)
    rows, tensors = len(matrix), len(layout.names)
    found = {
        family: np.empty((rows, tensors, k), np.float32) for family, (_, k) in families.items()
    }
    for shape, members in by_shape(list(layout.shapes)).items():
        for part, some in _chunks(rows, members, 4 * math.prod(shape), chunk_bytes):
            batch = _gather(matrix, layout, part, some)
            for family, (compute, k) in families.items():
                numbers = compute(batch.reshape(-1, *shape))
                found[family][part, some] = numbers.reshape(-1, len(some), k)
    return {family: numbers.reshape(rows, -1) for family, numbers in found.items()}


def pair_features(
    matrix: np.ndarray,
    layout: Layout,
    scales: np.ndarray,
    compute: Callable,
    k: int,
    chunk_bytes: int = CHUNK_BYTES,
) -> np.ndarray:
    """The k numbers of `compute` for every down/up pair of every adapter.

    As `family_features`, with scales [rows, pairs] -> float32 [rows, pairs * k]; pairs are in the
    order in which their tensors first appear in the layout.
    """
    matrix = np.asarray(matrix)
    place = {name: i for i, name in enumerate(layout.names)}
    modules = list(dict.fromkeys(stem(name) for name in layout.names))
    pairs = [(place[module + DOWN], place[module + UP]) for module in modules]
    groups = by_shape([(layout.shapes[down], layout.shapes[up]) for down, up in pairs])
    found = np.empty((len(matrix), len(pairs), k), np.float32)
    for shapes, members in groups.items():
        nbytes = 4 * sum(math.prod(shape) for shape in shapes)
        for rows, some in _chunks(len(matrix), members, nbytes, chunk_bytes):
            factors = (
                _gather(matrix, layout, rows, [pairs[i][side] for i in some]).reshape(-1, *shape)
                for side, shape in enumerate(shapes)
            )
            numbers = compute(*factors, scales[rows, some].ravel().astype(np.float64))
            found[rows, some] = numbers.reshape(-1, len(some), k)
    return found.reshape(len(matrix), -1)


def by_shape(shapes: list) -> dict:
    """Indices of the members of each shape."""
    groups = {}
    for i, shape in enumerate(shapes):
        groups.setdefault(shape, []).append(i)
    return groups


def _chunks(
    rows: int, members: list[int], nbytes: int, chunk_bytes: int
) -> Iterator[tuple[slice, list[int]]]:
    """Rows and members of each chunk; all members together unless one row of them is too large."""
    at_once = max(1, min(len(members), chunk_bytes // nbytes))
    step = max(1, chunk_bytes // (nbytes * at_once))
    for first in range(0, len(members), at_once):
        some = members[first : first + at_once]
        for start in range(0, rows, step):
            yield slice(start, min(start + step, rows)), some


def _gather(matrix: np.ndarray, layout: Layout, rows: slice, tensors: list[int]) -> np.ndarray:
    """The tensors of the rows, one after the other: [rows, tensors, N]."""
    size = math.prod(layout.shapes[tensors[0]])
    batch = np.empty((rows.stop - rows.start, len(tensors), size), np.float32)
    for place, tensor in enumerate(tensors):
        start = layout.offsets[tensor]
        batch[:, place] = matrix[rows, start : start + size]
    return batch
