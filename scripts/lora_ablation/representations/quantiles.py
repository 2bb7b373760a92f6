"""Family `quantiles`: extremes, lower median, nine quantiles and two ranges from one sort."""

import numpy as np

LEVELS = np.array([0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99], np.float32)


def compute(x: np.ndarray) -> np.ndarray:
    """min, max, lower median, q01 ... q99, q75 - q25 and q99 - q01 of each tensor of x.

    x float32 [n, p, q] -> float32 [n, 14]. Linear interpolation at rank q (N - 1), the rank rounded
    to float32 as torch.quantile does; the median is the lower of the two middle values.
    """
    ordered = np.sort(x.reshape(len(x), -1), axis=1)
    last = ordered.shape[1] - 1
    rank = LEVELS * np.float32(last)
    below = rank.astype(np.int64)
    weight = rank - below.astype(np.float32)
    low, high = ordered[:, below], ordered[:, np.minimum(below + 1, last)]
    # From the nearer neighbour, as torch.lerp: exact at both ends.
    levels = np.where(weight < 0.5, low + weight * (high - low), high - (high - low) * (1 - weight))
    extremes = ordered[:, [0, last, last // 2]]
    ranges = levels[:, [5, 8]] - levels[:, [3, 0]]
    return np.concatenate([extremes, levels, ranges], axis=1)
