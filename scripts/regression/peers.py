"""Peer: the package `engression` on the same rows (docs/studies/regression.md, Peers)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from engression import engression

from scripts.engression.models.peers import seeded
from scripts.lib.own_study import Unit


@dataclass
class Official:
    """A model that the package trained, with its epochs and its final loss and two terms."""

    engressor: Any
    n_epochs: int
    losses: tuple[float, float, float]

    def values(self, given: np.ndarray, draws: int, rng: torch.Generator) -> np.ndarray:
        """Conditional draws (rows, draws, d), float64, by the seed of `rng`."""
        with seeded(rng):
            drawn = self.engressor.sample(torch.from_numpy(given), sample_size=draws)
        return drawn.double().numpy().reshape(len(given), -1, draws).transpose(0, 2, 1)


def fit_official(unit: Unit, **options: Any) -> Official:
    """Train the package's model on the unit's rows; `options` are the package's own.

    Random: weights, batches and noise, by the unit's stream `official`.
    """
    given, x = (torch.from_numpy(unit.data[name]) for name in ("given", "x"))
    with seeded(unit.torch_rng("official")):
        fitted = engression(given, x.view(len(x), -1), verbose=False, **options)
    return Official(fitted, fitted.num_epochs, tuple(map(float, fitted.tr_loss)))
