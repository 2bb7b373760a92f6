"""Arm `union`: every family once over all tensors; a representation is a selection of columns."""

import numpy as np

from scripts.lora_ablation.layout import Layout
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
    matrix: np.ndarray, layout: Layout, chunk_bytes: int = CHUNK_BYTES
) -> dict[str, np.ndarray]:
    """Numbers of all families: float32 [rows, tensors, k] each, of matrix [rows, width]."""
    families = {family: (COMPUTE[family], len(names)) for family, names in FAMILIES.items()}
    found = families_features(matrix, layout, families, chunk_bytes)
    return {
        family: numbers.reshape(len(matrix), len(layout.names), -1)
        for family, numbers in found.items()
    }


def select(
    numbers: dict[str, np.ndarray], representation: str, tensors: list[int] | slice
) -> np.ndarray:
    """A representation of these tensors, [rows, tensors * k], a tensor's numbers side by side."""
    columns = [
        numbers[family][:, tensors, FAMILIES[family].index(name)]
        for family, name in REPRESENTATIONS[representation]
    ]
    return np.stack(columns, axis=2).reshape(len(columns[0]), -1)
