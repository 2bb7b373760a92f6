"""Arm `layerwise`: the families of `union`, one tensor (layer) at a time (claim LPL-6)."""

import numpy as np

from scripts.lora_ablation.layout import Layout
from scripts.lora_ablation.representations.catalogue import FAMILIES
from scripts.lora_ablation.representations.union import COMPUTE


def layerwise(matrix: np.ndarray, layout: Layout) -> dict[str, np.ndarray]:
    """Numbers of all families, float32 [rows, tensors, k] each, of matrix [rows, width]."""
    found = {
        family: np.empty((len(matrix), len(layout.names), len(names)), np.float32)
        for family, names in FAMILIES.items()
    }
    for tensor, shape in enumerate(layout.shapes):
        start, stop = layout.offsets[tensor : tensor + 2]
        layer = np.ascontiguousarray(matrix[:, start:stop]).reshape(-1, *shape)
        for family, numbers in found.items():
            numbers[:, tensor] = COMPUTE[family](layer)
    return found
