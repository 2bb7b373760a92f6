"""The trainers by name: each takes a sample and its streams and returns a fitted generator."""

from dataclasses import dataclass
from functools import partial

import torch

from scripts.engression.descent import descend
from scripts.engression.exact import GroupedGradient
from scripts.engression.losses import broadcast_loss, cdist_loss
from scripts.engression.network import initial, layer_widths
from scripts.engression.pooled import PooledGradient
from scripts.engression.projected import ProjectedGradient
from scripts.engression.reference import fit_autograd
from scripts.lib.timing import Phases
from scripts.lib.torch_rng import torch_rng

REFERENCES = {
    "reference": partial(fit_autograd, loss_of=broadcast_loss),
    "source_cdist": partial(fit_autograd, loss_of=cdist_loss),
}
ESTIMATORS = {
    "exact": GroupedGradient,
    "pooled": PooledGradient,
    "projected": ProjectedGradient,
}


@dataclass
class Fit:
    """A trained generator: flat parameters, per-epoch (loss, term1, term2), work and time."""

    parameters: torch.Tensor
    history: list[tuple[float, float, float]]
    n_steps: int
    noise_rows: int
    best_loss: float
    diverged: bool
    cost: dict[str, float]


def fit(trainer: str, x: torch.Tensor, net: dict, train: dict, key: tuple) -> Fit:
    """Train one generator on x, shape (n,), by the named trainer.

    `key` (root seed and unit labels) addresses the `init`, `shuffle` and `noise` streams, which
    all trainers share. The dtype of `x` is the dtype of the computation.
    """
    widths = layer_widths(net)
    parameters = initial(widths, torch_rng(*key, "init"), x.dtype)
    shuffle, noise = torch_rng(*key, "shuffle"), torch_rng(*key, "noise")
    phases = Phases()
    if trainer in REFERENCES:
        history, n_steps, patience = REFERENCES[trainer](
            x, parameters, widths, shuffle=shuffle, noise=noise, train=train, phases=phases
        )
        noise_rows = len(history) * len(x) * train["m"]
    else:
        gradient = torch.zeros_like(parameters)
        estimate = ESTIMATORS[trainer](parameters, gradient, widths, train, noise, phases)
        history, n_steps, patience = descend(
            x, parameters, gradient, estimate, shuffle, train, phases
        )
        noise_rows = estimate.noise_rows
    return Fit(
        parameters=parameters,
        history=history,
        n_steps=n_steps,
        noise_rows=noise_rows,
        best_loss=patience.best_loss,
        diverged=patience.diverged,
        cost=phases.columns(),
    )
