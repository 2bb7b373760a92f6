"""Counts of predicted by true classes; apart from stats.py, whose SciPy no training needs."""

import numpy as np


def confusion(truth: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Counts (K, K): row the true class, column the predicted one, both integer (n,) from 0."""
    cell = truth.astype(np.int64) * classes + predicted
    return np.bincount(cell, minlength=classes**2).reshape(classes, classes)
