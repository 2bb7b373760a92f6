"""Family `norms`: the matrix norms that need no singular values."""

import numpy as np


def compute(x: np.ndarray) -> np.ndarray:
    """Frobenius norm, largest column sum (l1) and largest row sum (linf) of |x|, each tensor.

    x float32 [n, p, q] -> float32 [n, 3].
    """
    n, p, q = x.shape
    flat = x.reshape(n, -1)
    frob = np.sqrt(np.vecdot(flat, flat))
    size = np.abs(x)
    if min(p, q) == 1:
        size = size.reshape(n, -1)
        total = np.vecdot(size, np.ones(p * q, np.float32))
        l1, linf = (size.max(axis=1), total) if p == 1 else (total, size.max(axis=1))
    else:
        l1 = (np.ones(p, np.float32) @ size).max(axis=1)
        # OpenBLAS's AVX-512 kernel for rows of five also multiplies memory it never set: the
        # sums are right, but a signalling NaN left there raises the invalid flag.
        with np.errstate(invalid="ignore"):
            linf = (size @ np.ones(q, np.float32)).max(axis=1)
    return np.stack([frob, l1, linf], axis=1)
