"""How good predicted probabilities of ordered categories are (docs/studies/deep_gpcm.md, Metrics).

SciPy and scikit-learn have these too; importing them costs a second of every job.
"""

import numpy as np

from scripts.lib.confusion import confusion

BINS = 10


def qwk(counts: np.ndarray) -> float:
    """Quadratically weighted kappa of a confusion matrix (K, K); 0 if it is not defined."""
    n, category = counts.astype(float), np.arange(len(counts))
    weight = (category[:, None] - category) ** 2
    chance = (weight * np.outer(n.sum(1), n.sum(0))).sum()
    return float(1 - (weight * n).sum() * n.sum() / chance) if chance else 0.0


def kendall_tau(counts: np.ndarray) -> float:
    """Kendall's tau-b of a contingency table (K, K); 0 if a margin has one category only."""
    n = counts.astype(float)  # products of pair counts overflow int64
    beyond = np.zeros_like(n)  # answers in a higher row and a higher column
    beyond[:-1, :-1] = n[::-1, ::-1].cumsum(0).cumsum(1)[::-1, ::-1][1:, 1:]
    mirrored = np.zeros_like(n)  # in a higher row and a lower column
    mirrored[:-1, 1:] = n[::-1].cumsum(0).cumsum(1)[::-1][1:, :-1]
    untied = [n.sum() ** 2 - (n.sum(axis) ** 2).sum() for axis in (0, 1)]
    if not all(untied):
        return 0.0
    return float(2 * (n * (beyond - mirrored)).sum() / np.sqrt(untied[0] * untied[1]))


def calibration_error(confidence: np.ndarray, correct: np.ndarray) -> float:
    """Expected calibration error: mean |accuracy - confidence| over ten equal bins (low, high]."""
    place = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    surplus = np.bincount(place, weights=correct - confidence, minlength=BINS)
    return float(np.abs(surplus).sum() / len(confidence))


def scores(probability: np.ndarray, response: np.ndarray) -> dict[str, float]:
    """Metrics of probabilities (n, K) of the categories of responses (n,), integer from 0.

    The predicted category is the likeliest one, the lowest of equals. `ordinal_accuracy` is the
    share predicted within one category. What a constant leaves undefined (qwk, kendall_tau) is 0.
    `nll` takes probabilities as they are: only a zero is raised, to the smallest positive float,
    and then costs 708 nats.
    """
    n, categories = probability.shape
    predicted = probability.argmax(axis=1)
    counts = confusion(response, predicted, categories)
    off = np.arange(categories)[:, None] - np.arange(categories)
    chosen = probability[np.arange(n), response].astype(float)
    confidence = probability.max(axis=1).astype(float)
    return {
        "nll": float(-np.log(np.maximum(chosen, np.finfo(float).tiny)).mean()),
        "qwk": qwk(counts),
        "accuracy": float(np.trace(counts) / n),
        "ordinal_accuracy": float(counts[np.abs(off) <= 1].sum() / n),
        "mae": float((np.abs(off) * counts).sum() / n),
        "rmse": float(np.sqrt((off**2 * counts).sum() / n)),
        "kendall_tau": kendall_tau(counts),
        "ece": calibration_error(confidence, predicted == response),
        "confidence": float(confidence.mean()),
    }
