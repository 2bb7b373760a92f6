"""Family `frequency`: the largest Fourier magnitudes, their mean, spread and concentration."""

import numpy as np
from scipy.fft import rfft, rfft2

EPS = 1e-8
TOP = 10
# np.sort is a sorting network up to here: four times cheaper a value than beyond.
BLOCK = 512


def compute(x: np.ndarray) -> np.ndarray:
    """Ten largest magnitudes of the 2-D DFT, descending; mean, std (ddof 0), max, concentration.

    x float32 [n, p, q] -> float32 [n, 14]; concentration is the ten's part of the energy. Half of
    the spectrum is computed, the other half is its mirror image. Fewer than ten bins are
    padded with zeros. SciPy's rfft transforms several rows at a time (3x NumPy's).
    """
    n, p, q = x.shape
    if min(p, q) == 1:
        p, q = 1, p * q
        spectrum = rfft(x.reshape(n, q), axis=1)
    else:
        spectrum = rfft2(x)
    magnitude = np.abs(spectrum).reshape(n, p, -1)
    mirrored = magnitude[:, :, 1 : (q + 1) // 2].reshape(n, -1)
    single = magnitude[:, :, :: q // 2] if q % 2 == 0 else magnitude[:, :, :1]
    single = single.reshape(n, -1)
    top = _largest(mirrored, single)

    def total(of_mirrored: np.ndarray, of_single: np.ndarray) -> np.ndarray:
        return 2.0 * of_mirrored + of_single

    ones = np.ones(max(mirrored.shape[1], single.shape[1]), np.float32)
    sums = [np.vecdot(part, ones[: part.shape[1]]) for part in (mirrored, single)]
    mean = total(*sums) / (p * q)
    centred = [part - mean[:, None] for part in (mirrored, single)]
    variance = total(*(np.vecdot(part, part) for part in centred)) / (p * q)
    energy = (variance + mean * mean) * (p * q)
    concentration = np.vecdot(top, top) / (energy + np.float32(EPS))
    numbers = np.stack([mean, np.sqrt(variance), top[:, 0], concentration], axis=1)
    return np.concatenate([top, numbers], axis=1, dtype=np.float32)


def _largest(mirrored: np.ndarray, single: np.ndarray) -> np.ndarray:
    """The ten largest bins, descending, where each value of `mirrored` stands for two."""
    candidates = []
    for values, keep, copies in ((mirrored, TOP // 2, 2), (single, TOP, 1)):
        for start in range(0, values.shape[1], BLOCK):
            block = np.sort(values[:, start : start + BLOCK], axis=1)
            candidates += [block[:, -keep:]] * copies
    found = np.sort(np.concatenate(candidates, axis=1), axis=1)[:, : -TOP - 1 : -1]
    top = np.zeros((len(found), TOP), np.float32)
    top[:, : found.shape[1]] = found
    return top
