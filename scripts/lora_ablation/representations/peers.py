"""Peers: singular values by other packages (docs/studies/lora_ablation.md, Peers).

Each takes float32 [n, p, q] and gives all singular values of each matrix, descending,
[n, min(p, q)]. What is made of them is the family `spectral`.
"""

import logging
from collections.abc import Callable

import numpy as np
import torch

from scripts.lora_ablation.data.layout import Layout
from scripts.lora_ablation.representations.catalogue import REPRESENTATIONS
from scripts.lora_ablation.representations.spectral import numbers


def svdvals(x: np.ndarray) -> np.ndarray:
    """PyTorch's batched SVD without vectors, in float32."""
    return torch.linalg.svdvals(torch.from_numpy(x)).numpy()


def weightwatcher(x: np.ndarray) -> np.ndarray:
    """Roots of the eigenvalues that WeightWatcher computes of linear layers, in float64.

    The package at its best: the matrices are layers of one model, and no power law is fitted.
    Departs: by default it leaves out a layer of fewer than 8 eigenvalues (`min_evals`).
    """
    from weightwatcher.constants import DEFAULT_PARAMS
    from weightwatcher.weightwatcher import WeightWatcher, WWLayerIterator

    logging.getLogger("weightwatcher").setLevel(logging.ERROR)
    layers = [torch.nn.Linear(1, 1, bias=False) for _ in x]
    for layer, matrix in zip(layers, torch.from_numpy(x), strict=True):
        layer.weight = torch.nn.Parameter(matrix, requires_grad=False)
        layer.out_features, layer.in_features = matrix.shape
    model, options, found = torch.nn.Sequential(*layers), {**DEFAULT_PARAMS, "min_evals": 1}, []
    watcher = WeightWatcher(model=model)
    for layer in WWLayerIterator(model=model, framework=watcher.framework, params=options):
        if not layer.skipped:
            watcher.apply_esd(layer, options)
            found.append(np.sqrt(np.sort(layer.evals)[::-1]))
    return np.stack(found)


def spectra(
    matrix: np.ndarray,
    layout: Layout,
    tensors: list[int],
    values_of: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    """The representation `spectral` of these tensors, [rows, tensors * 32], from such values.

    matrix float32 [rows, layout.width]; the tensors of one shape are computed together.
    """
    k = len(REPRESENTATIONS["spectral"])
    found = np.empty((len(matrix), len(tensors), k), np.float32)
    shapes = [layout.shapes[i] for i in tensors]
    for shape in dict.fromkeys(shapes):
        places = [place for place, other in enumerate(shapes) if other == shape]
        starts = [layout.offsets[tensors[place]] for place in places]
        parts = [matrix[:, start : start + shape[0] * shape[1]] for start in starts]
        stacked = np.stack(parts, axis=1).reshape(-1, *shape)
        found[:, places] = numbers(values_of(stacked))[:, :k].reshape(len(matrix), -1, k)
    return found.reshape(len(matrix), -1)
