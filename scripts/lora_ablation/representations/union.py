"""Every family once: a representation is a selection of columns.

`union` takes all tensors together, `layerwise` one tensor (layer) after the other.
"""

from collections.abc import Callable
from itertools import groupby
from operator import itemgetter

import numpy as np

from scripts.lora_ablation.data.layout import Layout
from scripts.lora_ablation.representations import (
    entropy,
    frequency,
    moments,
    norms,
    quantiles,
    spectral,
)
from scripts.lora_ablation.representations.catalogue import FAMILIES, REPRESENTATIONS
from scripts.lora_ablation.representations.grouped import CHUNK_BYTES, families_features

COMPUTE = {
    "moments": moments.compute,
    "quantiles": quantiles.compute,
    "norms": norms.compute,
    "spectral": spectral.compute,
    "frequency": frequency.compute,
    "entropy": entropy.compute,
}


def union(
    matrix: np.ndarray,
    layout: Layout,
    chunk_bytes: int = CHUNK_BYTES,
    ways: dict[str, Callable] = COMPUTE,
) -> dict[str, np.ndarray]:
    """Numbers of all families: float32 [rows, tensors, k] each, of matrix [rows, width]."""
    families = {family: (ways[family], len(names)) for family, names in FAMILIES.items()}
    computed = families_features(matrix, layout, families, chunk_bytes)
    return {
        family: numbers.reshape(len(matrix), len(layout.names), -1)
        for family, numbers in computed.items()
    }


def layerwise(matrix: np.ndarray, layout: Layout) -> dict[str, np.ndarray]:
    """Numbers of all families, float32 [rows, tensors, k] each, of matrix [rows, width]."""
    numbers = {
        family: np.empty((len(matrix), len(layout.names), len(names)), np.float32)
        for family, names in FAMILIES.items()
    }
    for tensor, shape in enumerate(layout.shapes):
        start, stop = layout.offsets[tensor : tensor + 2]
        layer = np.ascontiguousarray(matrix[:, start:stop]).reshape(-1, *shape)
        for family, of_family in numbers.items():
            of_family[:, tensor] = COMPUTE[family](layer)
    return numbers


def select(
    numbers: dict[str, np.ndarray], representation: str, tensors: list[int] | slice
) -> np.ndarray:
    """A representation of these tensors, [rows, tensors * k], a tensor's numbers side by side."""
    parts = []
    for family, columns in groupby(REPRESENTATIONS[representation], key=itemgetter(0)):
        positions = [FAMILIES[family].index(name) for _, name in columns]
        if positions == list(range(positions[0], positions[-1] + 1)):
            parts.append(numbers[family][:, tensors, positions[0] : positions[-1] + 1])
        else:
            parts.append(numbers[family][:, tensors].take(positions, axis=2))
    return np.concatenate(parts, axis=2).reshape(len(parts[0]), -1)
