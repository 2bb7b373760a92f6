"""Scores of predicted classes: accuracy, macro precision, recall and F1."""

import numpy as np


def confusion(truth: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Counts (classes, classes): row true class, column predicted class."""
    counts = np.bincount(truth * classes + predicted, minlength=classes**2)
    return counts.reshape(classes, classes)


def scores(truth: np.ndarray, predicted: np.ndarray, classes: int) -> dict[str, float]:
    """Accuracy, and precision, recall and F1 as means over the classes that occur in either.

    A class that is never predicted has precision 0, one that never occurs recall 0 (what
    scikit-learn does with `zero_division=0`).
    """
    counts = confusion(truth, predicted, classes)
    right, true, called = np.diag(counts), counts.sum(1), counts.sum(0)
    present = true + called > 0
    precision = (right / np.maximum(called, 1))[present]
    recall = (right / np.maximum(true, 1))[present]
    f1 = (2 * right / np.maximum(true + called, 1))[present]
    return {
        "accuracy": float(right.sum() / len(truth)),
        "f1": float(f1.mean()),
        "precision": float(precision.mean()),
        "recall": float(recall.mean()),
    }
