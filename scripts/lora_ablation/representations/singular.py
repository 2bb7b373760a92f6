"""Singular values of many small matrices: a closed form for vectors, else QR and a small SVD."""

import numpy as np


def triangle(x: np.ndarray) -> np.ndarray:
    """The factor R of x = QR for each matrix; a single column has R = its norm.

    x [n, p, q] -> float64 [n, min(p, q), q].
    """
    if x.shape[2] == 1:
        flat = np.ascontiguousarray(x[:, :, 0])
        return np.sqrt(np.vecdot(flat, flat)).astype(np.float64)[:, None, None]
    return np.linalg.qr(x.astype(np.float64), mode="r")


def values_of_small(core: np.ndarray) -> np.ndarray:
    """Singular values of float64 [n, a, b] by a batched SVD, descending: [n, min(a, b)]."""
    if core.shape[1:] == (1, 1):
        return np.abs(core[:, :, 0])
    return np.linalg.svd(core, compute_uv=False)


def singular_values(x: np.ndarray) -> np.ndarray:
    """All singular values of each matrix, descending.

    x float32 [n, p, q] -> float64 [n, min(p, q)]. QR of the tall orientation, then the SVD of the
    square factor: backward stable, exact at any rank. In float64, so nothing is cut off: what a
    rank-deficient matrix leaves is about 1e-16 of the largest, far below the eps of its users.
    QR pays up to a short side of 64, the largest rank that is measured.
    """
    return values_of_small(triangle(x if x.shape[1] >= x.shape[2] else x.swapaxes(1, 2)))


def top10(values: np.ndarray) -> np.ndarray:
    """The ten largest of descending values [n, r], padded with zeros: [n, 10]."""
    top = np.zeros((len(values), 10), values.dtype)
    top[:, : values.shape[1]] = values[:, :10]
    return top
