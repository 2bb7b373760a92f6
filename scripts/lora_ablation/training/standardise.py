"""Standardisation by the training rows, and which columns carry anything to standardise."""

from dataclasses import dataclass

import numpy as np

# Columns that vary less than this, relative to 1 + |mean|, hold rounding noise (spec 2.4).
NEAR_CONSTANT = 1e-6


@dataclass
class Standardisation:
    """Column means and scales (float32) and `kept`, the columns that are not near-constant."""

    mean: np.ndarray
    scale: np.ndarray
    kept: np.ndarray

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """(x - mean) / scale of the kept columns; a new array."""
        out = x[:, self.kept] - self.mean[self.kept]
        out /= self.scale[self.kept]
        return out


def near_constant(mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """Columns to mask: std <= 1e-6 (|mean| + 1)."""
    return std <= NEAR_CONSTANT * (np.abs(mean) + 1)


def fit(x: np.ndarray, mask: bool) -> Standardisation:
    """Standardisation by the rows x, float32 (n, D): moments in float64, ddof 0.

    With `mask`, near-constant columns are not kept; without it (`legacy`) they are scaled to
    unit variance like the others, constant ones by 1 as scikit-learn does.
    """
    mean = x.mean(0, dtype=np.float64)
    std = np.sqrt(np.maximum(np.square(x, dtype=np.float64).mean(0) - mean**2, 0))
    # The difference of squares cancels where std << |mean|: those columns are done in full.
    doubtful = std <= 1e-4 * np.abs(mean)
    std[doubtful] = x[:, doubtful].std(0, dtype=np.float64)
    kept = ~near_constant(mean, std) if mask else np.ones(len(mean), bool)
    scale = np.where(std <= 10 * np.finfo(np.float64).eps * np.abs(mean), 1.0, std)
    return Standardisation(mean.astype(np.float32), scale.astype(np.float32), kept)
