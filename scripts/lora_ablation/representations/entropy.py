"""Family `entropy`: Shannon entropy of the histogram of a tensor's values."""

import math

import numpy as np

EPS = 1e-8
BINS = 50


def compute(x: np.ndarray) -> np.ndarray:
    """Entropy of 50 equal bins over [min, max], and its ratio to ln 50, of each tensor of x.

    x float32 [n, p, q] -> float32 [n, 2]. A tensor of one value has entropy 0. Bins
    are found in float64, because a value that rounding moves over an edge changes H.
    """
    values = x.reshape(len(x), -1)
    n, size = values.shape
    low, high = values.min(axis=1).astype(np.float64), values.max(axis=1).astype(np.float64)
    spread = high - low
    scale = np.divide(BINS, spread, out=np.zeros(n), where=spread > 0)
    position = values - low[:, None]
    position *= scale[:, None]
    bins = position.astype(np.int32)
    # The maximum falls into a bin of its own, which belongs to the last one.
    bins += np.arange(0, n * (BINS + 1), BINS + 1, dtype=np.int32)[:, None]
    counts = np.bincount(bins.ravel(), minlength=n * (BINS + 1)).reshape(n, BINS + 1)
    counts[:, -2] += counts[:, -1]
    share = counts[:, :-1] / (size + EPS)
    entropy = -(share * np.log(share + EPS)).sum(axis=1)
    return np.stack([entropy, entropy / math.log(BINS)], axis=1).astype(np.float32)
