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
# Where two implementations that differ by rounding have not drifted apart yet.
EARLY_EPOCHS = 5


@dataclass
class Problem:
    """What a training loop works on: the sample, the flat parameters, streams and clock.

    `x` is (n,), or (n, d) in several dimensions; `given` are the covariates (n, p) that the
    network gets behind its noise, if there are any. `parameters` receives the result; the dtype of
    `x` is the dtype of the computation.
    """

    x: torch.Tensor
    parameters: torch.Tensor
    widths: list[int]
    train: Train
    options: Options
    shuffle: torch.Generator
    noise: torch.Generator
    phases: Phases
    given: torch.Tensor | None = None

    @property
    def noise_dim(self) -> int:
        """Width of the noise, which comes before the covariates."""
        return self.widths[0] - (0 if self.given is None else self.given.shape[1])

    def points(self, rows: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The data points of these row numbers: x, and given, if there are covariates."""
        return tuple(data[rows] for data in (self.x, self.given) if data is not None)


@dataclass
class Trained:
    """What a training loop returns: per epoch (loss, term1, term2), work and stopping state.

    `early` are the parameters after the first EARLY_EPOCHS epochs, or the last, if there are fewer.
    """

    history: History
    early: torch.Tensor
    n_steps: int
    noise_rows: int
    patience: Patience


@dataclass
class Fit:
    """A trained generator: flat parameters at the end and early, widths, losses by epoch, work."""

    parameters: torch.Tensor
    early: torch.Tensor
    widths: list[int]
    history: History
    n_steps: int
    noise_rows: int
    best_loss: float
    diverged: bool


def widths_of(unit: Unit) -> list[int]:
    """Widths of the network for the unit's sample and covariates."""
    x, given = unit.data["x"], unit.data.get("given")
    covariates = 0 if given is None else given.shape[1]
    return layer_widths(unit.settings.net, covariates, x[0].size)


def fit(unit: Unit, loop: Callable[[Problem, Any], Trained], method: Any) -> Fit:
    """Train one generator on the unit's sample by a training loop with its loss or estimator.

    The sample is `x` of the unit's data, and `given` are its covariates, if it has any.
    The streams `init`, `shuffle` and `noise` are shared by all implementations, and their draws
    by both precisions.
    """
    options, train = unit.options, unit.settings.train
    x, given = torch.from_numpy(unit.data["x"]), None
    if "given" in unit.data and unit.data["given"].shape[1]:
        given = torch.from_numpy(unit.data["given"])
    if options.precision == "double":
        x, given = x.double(), None if given is None else given.double()
    if options.epochs is not None:
        most = min(options.epochs, train.max_epochs)
        train = train.model_copy(update={"max_epochs": most})
    widths = widths_of(unit)
    problem = Problem(
        x=x,
        given=given,
        parameters=initial(widths, unit.torch_rng("init"), x.dtype),
        widths=widths,
        train=train,
        options=options,
        shuffle=unit.torch_rng("shuffle"),
        noise=unit.torch_rng("noise"),
        phases=unit.phases,
    )
    trained = loop(problem, method)
    return Fit(
        parameters=problem.parameters,
        early=trained.early,
        widths=problem.widths,
        history=trained.history,
        n_steps=trained.n_steps,
        noise_rows=trained.noise_rows,
        best_loss=trained.patience.best_loss,
        diverged=trained.patience.diverged,
    )
