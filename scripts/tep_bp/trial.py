"""One trial of the search: a learning rule with its hyperparameters."""

from typing import NamedTuple


class Trial(NamedTuple):
    """`trial` numbers the point of the plan, which all rules share; `seed` is the point's own.

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
