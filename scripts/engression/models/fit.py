"""What all arms share: initial weights, streams, and what is kept of a fit."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from scripts.engression.models.network import initial, layer_widths
from scripts.engression.models.stopping import Patience
from scripts.engression.settings import Options, Train
from scripts.lib.own_study import Unit
from scripts.lib.timing import Phases

History = list[tuple[float, float, float]]


@dataclass
class Problem:
    """What a training loop works on: the sample x (n,), the flat parameters, streams and clock.

    `parameters` receives the result; the dtype of `x` is the dtype of the computation.
    """

    x: torch.Tensor
    parameters: torch.Tensor
    widths: list[int]
    train: Train
    options: Options
    shuffle: torch.Generator
    noise: torch.Generator
    phases: Phases


@dataclass
class Trained:
    """What a training loop returns: per epoch (loss, term1, term2), work and stopping state."""

    history: History
    n_steps: int
    noise_rows: int
    patience: Patience


@dataclass
class Fit:
    """A trained generator: flat parameters, per epoch (loss, term1, term2), work."""

    parameters: torch.Tensor
    history: History
    n_steps: int
    noise_rows: int
    best_loss: float
    diverged: bool


def fit(unit: Unit, loop: Callable[[Problem, Any], Trained], method: Any) -> Fit:
    """Train one generator on the unit's sample by a training loop with its loss or estimator.

    The streams `init`, `shuffle` and `noise` are shared by all implementations.
    """
    settings, x = unit.settings, torch.from_numpy(unit.data["x"])
    widths = layer_widths(settings.net)
    problem = Problem(
        x=x,
        parameters=initial(widths, unit.torch_rng("init"), x.dtype),
        widths=widths,
        train=settings.train,
        options=unit.options,
        shuffle=unit.torch_rng("shuffle"),
        noise=unit.torch_rng("noise"),
        phases=unit.phases,
    )
    trained = loop(problem, method)
    return Fit(
        parameters=problem.parameters,
        history=trained.history,
        n_steps=trained.n_steps,
        noise_rows=trained.noise_rows,
        best_loss=trained.patience.best_loss,
        diverged=trained.patience.diverged,
    )
