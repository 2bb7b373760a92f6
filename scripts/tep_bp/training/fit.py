"""What the training of one trial leaves, whichever way it was computed."""

import math
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Fit:
    """Scores on the held samples, the audit of the fixed points, the work and its cost.

    `curve` and `losses` have one accuracy and one mean cross-entropy per epoch, or only the last
    where training was not watched. `predicted` (M,) has the final class of each held sample.
    `diverged_epoch` is the first epoch (from 1) after which a parameter is not finite, or None.
    `cost` has fit_s, cpu_s and one <phase>_s each (data, free, nudged, update, evaluate); trials
    that were stacked share theirs equally. `audit` has what a rule with fixed points reports:
    residual_free, residual_free_max, residual_nudged, spectral_norm, nudged_bound.
    """

    curve: list[float]
    losses: list[float]
    predicted: np.ndarray
    diverged_epoch: int | None
    parameter_hash: str
    n_parameters: int
    n_steps: int
    flops: float
    cost: dict[str, float]
    audit: dict[str, float] = field(default_factory=dict)

    @property
    def status(self) -> str:
        return "ok" if self.diverged_epoch is None else "diverged"

    @property
    def accuracy(self) -> float:
        """At the last epoch."""
        return self.curve[-1]

    @property
    def loss(self) -> float | None:
        """At the last epoch; None if it is not finite."""
        return self.losses[-1] if math.isfinite(self.losses[-1]) else None
