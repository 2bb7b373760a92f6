"""Whether predictions that claim 70 % are right 70 % of the time, and what is taken for what."""

import numpy as np
import pandas as pd

from scripts.deep_gpcm import metrics
from scripts.deep_gpcm.outcome.units import chosen, shared, together

CALIBRATION = ["data", "arm", "low", "high", "count", "confidence", "accuracy"]
CONFUSION = ["data", "arm", "response", "predicted", "count"]


def calibration(answers: pd.DataFrame, arms: list[str]) -> pd.DataFrame:
    """Ten bins (low, high] of the largest probability: answers, mean confidence, accuracy.

    Pooled over the folds that all of these arms have; the bins of metrics.calibration_error.
    """
    parts, edges = [], np.arange(metrics.BINS + 1) / metrics.BINS
    for (data, arm), part in shared(chosen(answers, arms)).groupby(["data", "arm"], observed=True):
        place = np.ceil(part["confidence"].to_numpy() * metrics.BINS).astype(int) - 1
        place = np.clip(place, 0, metrics.BINS - 1)
        count = np.bincount(place, minlength=metrics.BINS)
        means = (
            np.divide(np.bincount(place, part[name], metrics.BINS), count,
                      out=np.full(metrics.BINS, np.nan), where=count > 0)
            for name in ("confidence", "correct")
        )  # fmt: skip
        columns = (data, arm, edges[:-1], edges[1:], count, *means)
        parts.append(pd.DataFrame(dict(zip(CALIBRATION, columns, strict=True))))
    return together(parts, CALIBRATION)


def confusion(answers: pd.DataFrame, arms: list[str]) -> pd.DataFrame:
    """Counts of each response and predicted category, pooled over the folds of all these arms."""
    parts = []
    for (data, arm), part in shared(chosen(answers, arms)).groupby(["data", "arm"], observed=True):
        size = int(part["categories"].max())
        response, predicted = part["response"].to_numpy(), part["predicted"].to_numpy()
        counts = metrics.confusion(response, predicted, size)
        row, column = np.indices(counts.shape)
        columns = (data, arm, row.ravel(), column.ravel(), counts.ravel())
        parts.append(pd.DataFrame(dict(zip(CONFUSION, columns, strict=True))))
    return together(parts, CONFUSION)
