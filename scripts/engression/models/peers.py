"""Peer: the package `engression` on the same samples (docs/studies/engression.md, Peers)."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from engression import engression

from scripts.engression.metrics import scored
from scripts.lib.own_study import Unit


@contextmanager
def seeded(rng: torch.Generator) -> Iterator[None]:
    """The global generator, from which the package draws, starts at the seed of `rng`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(rng.initial_seed())
        yield


@dataclass
class Official:
    """A generator that the package trained, with its epochs and its final loss and two terms."""

    engressor: Any
    n_epochs: int
    losses: tuple[float, float, float]

    def sample(self, count: int, rng: torch.Generator) -> np.ndarray:
        """Generated values (count,), or (count, d), float64, by the seed of `rng`."""
        with seeded(rng):
            drawn = self.engressor.sample(torch.empty(count, 0), sample_size=1)
        return drawn.view(count, -1).squeeze(1).double().numpy()

    def evaluated(self, unit: Unit) -> dict[str, Any]:
        """The metrics of every arm; of single epochs the package keeps no loss."""
        if not np.isfinite(self.losses[0]):
            return {"n_epochs": self.n_epochs, "status": "diverged"}
        final = dict(zip(("final_loss", "final_term1", "final_term2"), self.losses, strict=True))
        return final | {"n_epochs": self.n_epochs} | scored(unit, self.sample)


def sizes(unit: Unit) -> dict[str, Any]:
    """Options of the package for the study's widths, batches, step size and epochs."""
    net, train = unit.settings.net, unit.settings.train
    return {
        "num_layer": net.hidden_layers + 1, "hidden_dim": net.hidden, "noise_dim": net.noise_dim,
        "add_bn": False, "standardize": False, "lr": train.lr, "num_epochs": train.max_epochs,
        "batch_size": train.batch,
    }  # fmt: skip


def fit_official(unit: Unit, **options: Any) -> Official:
    """Train the package's network on the unit's sample, without a covariate.

    `options` are the package's own. Random: weights, batches and noise, by the unit's stream
    `official`.
    """
    y = torch.from_numpy(unit.data["x"]).view(len(unit.data["x"]), -1)
    with warnings.catch_warnings(), seeded(unit.torch_rng("official")):
        # It takes the standard deviation of the covariate, which has no column.
        warnings.filterwarnings("ignore", message=r"std\(\)")
        fitted = engression(torch.empty(len(y), 0), y, verbose=False, **options)
    return Official(fitted, fitted.num_epochs, tuple(map(float, fitted.tr_loss)))
