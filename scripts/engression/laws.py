"""The five laws of the study: how to sample them and what the best attainable loss is."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Law(NamedTuple):
    """One data-generating law.

    `draw(rng, size)` returns float64 of shape (size,). `gini` is the Gini mean difference
    E|X - X'|; half of it is the smallest population energy loss.
    """

    title: str
    draw: Callable[[np.random.Generator, int], np.ndarray]
    gini: float


LAWS = {
    "normal": Law("Normal(0, 1)", lambda rng, n: rng.normal(0, 1, n), 2 / math.sqrt(math.pi)),
    "exponential": Law("Exponential(1)", lambda rng, n: rng.exponential(1, n), 1.0),
    "uniform": Law("Uniform(0, 2)", lambda rng, n: rng.uniform(0, 2, n), 2 / 3),
    "lognormal": Law(
        "Lognormal(0, 1)",
        lambda rng, n: rng.lognormal(0, 1, n),
        2 * math.exp(0.5) * math.erf(0.5),
    ),
    "chisquare": Law(
        "Chi-square(5)",
        lambda rng, n: rng.chisquare(5, n),
        10 * math.gamma(3) / (2.5 * math.gamma(2.5) * math.sqrt(math.pi)),
    ),
}
