"""Family `moments`: mean, standard deviation, skewness, kurtosis, absolute deviation, variation."""

import numpy as np

EPS = 1e-8


def compute(x: np.ndarray) -> np.ndarray:
    """mean, std (ddof 1), skew, kurt, mad and cv of each tensor of x.

    x float32 [n, p, q] -> float32 [n, 6]. Centred sums in float64, so that cv = std/(|mean| +
    eps) is right to float32 although mean is almost 0.
    Departs: std of a single value is 0, not NaN.
    """
    z = x.reshape(len(x), -1).astype(np.float64)
    size = z.shape[1]
    ones = np.ones(size)
    # vecdot: one BLAS call a row, so that a row's bits do not depend on the batch around it.
    mean = np.vecdot(z, ones) / size
    z -= mean[:, None]
    squares = z * z
    std = np.sqrt(np.vecdot(z, z) / max(size - 1, 1))
    third, fourth = np.vecdot(squares, z) / size, np.vecdot(squares, squares) / size
    mad = np.vecdot(np.abs(z, out=z), ones) / size
    scale = std + EPS
    columns = [mean, std, third / scale**3, fourth / scale**4, mad, std / (np.abs(mean) + EPS)]
    return np.stack(columns, axis=1).astype(np.float32)
