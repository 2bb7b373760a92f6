"""The search space: what may be chosen for each hyperparameter, checked, and a point of it."""

import math
from typing import Any, NamedTuple

from scripts.lib.faults import ConfigError
from scripts.lib.sentences import told

ACTIVATIONS = ("tanh", "relu")
# In the order of a plan's dimensions, so that a point means the same in every version.
LISTS = ("hidden", "batch", "weight_decay", "activation")  # equal shares of each value
RANGES = ("lr", "beta")  # [lowest, highest], log-uniform
DIMENSIONS = ("hidden", "batch", "lr", "weight_decay", "activation", "beta")
ONLY = {"beta": ("tep",)}  # rules that read a hyperparameter which others do not
LARGEST = 100_000  # width or batch
HERE = "tep_bp.space"  # its place in the configuration
ALIGNMENT = 8  # widths are multiples of it, so that stacked trials stay equal bit for bit


class Trial(NamedTuple):
    """A learning rule with its hyperparameters: a point of the space, trained once.

    `trial` numbers the point of the plan, which all rules share; `seed` is the point's own.

    `beta` (strength of the nudge) is read by `tep` only. `weight_decay` is decoupled.
    """

    rule: str
    trial: int
    hidden: int
    batch: int
    lr: float
    weight_decay: float
    activation: str
    beta: float
    seed: int


def searched(rule: str) -> list[str]:
    """Hyperparameters that matter to a rule."""
    return [key for key in DIMENSIONS if rule in ONLY.get(key, (rule,))]


def check_space(space: dict[str, list]) -> None:
    """ConfigError (one sentence that names the key) unless every trial of the space is possible."""
    if missing := [key for key in DIMENSIONS if key not in space]:
        raise ConfigError(f"Config: {HERE}.{missing[0]} is missing.")
    if unknown := sorted(set(space) - set(DIMENSIONS)):
        raise ConfigError(
            f"Config: {HERE}.{unknown[0]} is unknown. Use one of: {', '.join(DIMENSIONS)}."
        )
    for key in LISTS:
        _check_list(key, space[key])
    for key in RANGES:
        _check_range(key, space[key])


def _check_list(key: str, values: Any) -> None:
    if not isinstance(values, list) or not values:
        raise ConfigError(
            f"Config: {HERE}.{key} is {told(values)}; give a list of one value or more."
        )
    possible, allowed = {
        "hidden": (_is_width, f"multiples of {ALIGNMENT} up to {LARGEST}"),
        "batch": (_is_count, f"whole numbers from 1 to {LARGEST}"),
        "weight_decay": (lambda value: _is_number(value) and value >= 0, "numbers from 0"),
        "activation": (lambda value: value in ACTIVATIONS, f"one of {', '.join(ACTIVATIONS)}"),
    }[key]
    for value in values:
        if not possible(value):
            raise ConfigError(f"Config: {HERE}.{key} lists {told(value)}; use {allowed}.")
        if values.count(value) > 1:
            raise ConfigError(f"Config: {HERE}.{key} lists {told(value)} twice.")


def _check_range(key: str, bounds: Any) -> None:
    possible = isinstance(bounds, list) and len(bounds) == 2 and all(map(_is_number, bounds))
    if not possible or not 0 < bounds[0] <= bounds[1]:
        raise ConfigError(
            f"Config: {HERE}.{key} is {told(bounds)}; give [lowest, highest], above 0."
        )


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 < value <= LARGEST


def _is_width(value: Any) -> bool:
    return _is_count(value) and value % ALIGNMENT == 0
