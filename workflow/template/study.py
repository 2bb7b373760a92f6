"""How often does a biased coin land heads? A unit is a coin and a replication.

Say here what is asked and what one row of the study is about.
"""

import numpy as np

from scripts.lib.own_study import Model, Unit, implementation, setting, values

# What evaluates a unit: number, flag (0 or 1), list or label.
METRICS = {"heads": "number", "n_flips": "number"}


class Axes(Model):
    """What a unit is, beside its replication `rep`: the values are in the configuration."""

    bias: values(float, ge=0, le=1) = setting("Probability of heads.", min_length=1)


class Settings(Model):
    """Everything else that changes a number."""

    flips: int = setting("Flips of a unit.", ge=1, le=10**6)


def data(unit: Unit) -> dict[str, np.ndarray]:
    """What all arms of the unit get, from random streams of its own (never from a global seed)."""
    return {"flips": unit.rng("data").random(unit.settings.flips) < unit["bias"]}


@implementation
def loop(unit: Unit) -> dict[str, float]:
    """The way that defines the right answer, as simple as can be."""
    heads = sum(bool(flip) for flip in unit.data["flips"])
    return {"heads": heads / unit.settings.flips, "n_flips": unit.settings.flips}


@implementation
def vector(unit: Unit) -> dict[str, float]:
    """The fast way."""
    flips = unit.data["flips"]
    return {"heads": float(np.mean(flips)), "n_flips": len(flips)}
