"""Answers drawn from a GPCM, and folds of them."""

from itertools import pairwise

import numpy as np

from scripts.deep_gpcm.data.fold import Fold, Sequences
from scripts.deep_gpcm.models.irt.partial_credit import Parameters


def parameters(students: int, levels: np.ndarray, seed: int) -> Parameters:
    """theta ~ N(0, 1), log alpha ~ N(0, 0.3^2), beta ~ N(0, 1) where an item has thresholds."""
    rng = np.random.default_rng(seed)
    shape = (len(levels), max(levels) - 1)
    return Parameters(
        student=np.arange(students),
        theta=rng.standard_normal(students),
        alpha=np.exp(0.3 * rng.standard_normal(len(levels))),
        beta=np.where(
            np.arange(shape[1]) + 1 < np.array(levels)[:, None], rng.standard_normal(shape), np.nan
        ),
    )


def answers(truth: Parameters, length: int, seed: int = 0) -> Sequences:
    """`length` answers of each student to questions drawn with replacement."""
    rng = np.random.default_rng(seed)
    n = length * len(truth.student)
    item, theta = rng.integers(0, len(truth.alpha), n), np.repeat(truth.theta, length)
    step = truth.alpha[item, None] * (theta[:, None] - truth.beta[item])
    odds = np.exp(np.column_stack([np.zeros(n), np.where(np.isnan(step), -np.inf, step)]).cumsum(1))
    share = odds.cumsum(1) / odds.sum(1, keepdims=True)
    return Sequences(
        student=truth.student,
        lengths=np.full(len(truth.student), length),
        question=item + 1,
        response=(share < rng.random((n, 1))).sum(1),
    )


def of_students(whole: Sequences, first: int, stop: int) -> Sequences:
    """The sequences of students first..stop-1."""
    chosen = (whole.student >= first) & (whole.student < stop)
    rows = np.repeat(chosen, whole.lengths)
    return Sequences(
        whole.student[chosen], whole.lengths[chosen], whole.question[rows], whole.response[rows]
    )


def fold_of(whole: Sequences, levels: np.ndarray, train: int, val: int = 0) -> Fold:
    """The first `train` students train, `val` more validate, the rest are the test."""
    stops = [0, train, train + val, whole.student.max() + 1]
    parts = [of_students(whole, *bounds) for bounds in pairwise(stops)]
    return Fold(dict(zip(("train", "val", "test"), parts, strict=True)), np.asarray(levels))
