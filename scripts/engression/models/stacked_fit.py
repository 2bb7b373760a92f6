"""Arm `stacked`: units of one size trained at once, on a CPU or a GPU.

The estimator, the optimiser and the rule of stopping are those of `projected`. Initial weights are
those of the unit's stream `init`. Noise and shuffles are counter-based, addressed by unit, step and
epoch (scripts/lib/counter_rng.py), so that neither the stack nor the device chooses other draws;
numbers are the same up to rounding. A unit that has stopped keeps its result, whatever is computed
for its row afterwards, and leaves the stack as soon as that pays.
"""

from collections.abc import Sequence

import torch

from scripts.engression.models.fit import EARLY_EPOCHS, Fit, History, widths_of
from scripts.engression.models.network import initial
from scripts.engression.models.stacked_gradient import SHUFFLE, StackedGradient, rows_of
from scripts.engression.models.stopping import Patience
from scripts.lib.counter_rng import CounterRng
from scripts.lib.devices import torch_device
from scripts.lib.fused_adam import fused_adam
from scripts.lib.gpu_stacks import fitting, graphed
from scripts.lib.own_study import Failed, Unit

# Most units at once on a CPU: what is computed of them stays in its cache.
AT_ONCE = 4
# Share of a stack that is left when those that have stopped leave it. On a GPU a smaller stack is
# another graph to capture, and hardly faster.
SHRINK = {"cpu": 1.0, "cuda": 0.75}


def fit_stack(units: Sequence[Unit]) -> list[Fit | Failed]:
    """Train a generator for each unit; all have the options and settings, and samples of one shape.

    Failed for a unit whose first layer became singular. ValueError with covariates.
    """
    if any("given" in unit.data and unit.data["given"].shape[1] for unit in units):
        raise ValueError("stacked shares draws between data points; with covariates none may.")
    size = AT_ONCE if units[0].device == "cpu" else len(units)
    parts = [units[start : start + size] for start in range(0, len(units), size)]
    return [answer for part in parts for answer in fitting(trained, part)]


def trained(units: Sequence[Unit]) -> list[Fit | Failed]:
    """The answers of units that are trained together."""
    stack = Stack(units)
    try:
        return stack.trained()
    finally:
        del stack.take_step  # which holds the stack, and so its memory


class Stack:
    """Units that are trained together: `units` are the numbers of those that are its rows now."""

    def __init__(self, units: Sequence[Unit]):
        first = units[0]
        self.options, self.train, self.phases = first.options, first.settings.train, first.phases
        self.most = min(self.options.epochs or self.train.max_epochs, self.train.max_epochs)
        self.device, self.widths = torch_device(first.device), widths_of(first)
        if self.device.type == "cuda":
            # MAGMA, which roots could be taken by, waits for the GPU, and no graph can hold that.
            torch.backends.cuda.preferred_linalg_library("cusolver")
        dtype = torch.float64 if self.options.precision == "double" else torch.float32
        samples = torch.stack([torch.from_numpy(unit.data["x"]) for unit in units])
        weights = [initial(self.widths, unit.torch_rng("init"), dtype) for unit in units]
        self.x, self.parameters = (
            tensor.to(self.device, dtype) for tensor in (samples, torch.stack(weights))
        )
        self.rng = CounterRng([unit.counter_key("draws") for unit in units], self.device)
        self.gradient, *self.moments = (torch.zeros_like(self.parameters) for _ in range(3))
        self.count = torch.zeros((), device=self.device)  # of Adam's steps
        self.step = torch.zeros((1, 1), dtype=torch.int64, device=self.device)
        self.best = self.parameters.clone()
        self.units = list(range(len(units)))
        self.patience = [Patience(self.train.patience) for _ in units]
        self.histories: list[History] = [[] for _ in units]
        self.early: dict[int, torch.Tensor] = {}
        self.n_steps = self.noise_rows = 0
        self.prepare()

    def prepare(self) -> None:
        """What a step needs of the units that are in the stack now."""
        # The kernels of a graph have no clock between them.
        phases = self.phases if self.device.type == "cpu" else None
        told = (self.widths, self.options, self.rng, phases)
        self.estimate = StackedGradient(self.parameters, self.gradient, *told)
        state = [self.parameters, *self.moments, self.count, self.step, self.estimate.singular]
        self.take_step = graphed(self.one_step, state)

    def one_step(self, x: torch.Tensor, draws: int) -> torch.Tensor:
        """Estimate and descend; loss, term1, term2 of each unit before it, (U, 3)."""
        values = self.estimate(x, draws, self.step)
        train, moments = self.train, tuple([moment] for moment in self.moments)
        state = [self.parameters], [self.gradient], moments, [self.count]
        fused_adam(*state, train.lr, train.betas, train.adam_eps)
        self.step += 1
        self.estimate.lap("optimizer")
        return values

    def epoch(self, number: int) -> list[list[float]]:
        """Take the steps of an epoch; the mean loss, term1 and term2 of each unit."""
        n, options = self.x.shape[1], self.options
        order = self.rng.permutations(number, SHUFFLE, n)
        order = order.view(order.shape + (1,) * (self.x.ndim - 2))
        shuffled = torch.take_along_dim(self.x, order, 1)
        sums = torch.zeros(len(self.x), 3, dtype=torch.float64, device=self.device)
        for batch in shuffled.split(self.train.batch, 1):
            early = self.n_steps < options.early_steps
            draws = (early and options.early_draws) or options.draws_per_point
            points = batch.shape[1]
            sums += self.take_step(batch, draws).double() * points
            self.n_steps += 1
            self.noise_rows += rows_of(points, draws)
        return (sums / n).tolist()

    def trained(self) -> list[Fit | Failed]:
        """Train until every unit has stopped; a unit's answer is what it was when it did."""
        found: dict[int, Fit | Failed] = {}
        live = list(enumerate(self.units))  # row of the stack, number of the unit
        for number in range(self.most):
            losses = self.epoch(number)
            improved = [at for at, unit in live if self.take_in(unit, losses[at])]
            if improved and self.train.restore == "best":
                self.best[improved] = self.parameters[improved]
            if number < EARLY_EPOCHS:
                self.early |= {unit: self.parameters[at].cpu().clone() for at, unit in live}
            for at, unit in live:
                if self.patience[unit].stopped or number + 1 == self.most:
                    found[unit] = self.answer(at, unit)
            live = [(at, unit) for at, unit in live if unit not in found]
            if not live:
                break
            live = self.shrunk(live)
            self.phases.lap("bookkeeping")
        return [found[unit] for unit in sorted(found)]

    def take_in(self, unit: int, losses: list[float]) -> bool:
        """Take in a unit's losses of an epoch; whether they are its best so far."""
        self.histories[unit].append(tuple(losses))
        return self.patience[unit].improved(losses[0])

    def answer(self, at: int, unit: int) -> Fit | Failed:
        """What a unit came to, which is in row `at` of the stack."""
        if self.estimate.singular[at]:
            return Failed("the covariance of the first layer has no root")
        patience = self.patience[unit]
        kept = self.best if self.train.restore == "best" else self.parameters
        return Fit(
            parameters=kept[at].cpu().clone(),
            early=self.early[unit],
            widths=self.widths,
            history=self.histories[unit],
            n_steps=self.n_steps,
            noise_rows=self.noise_rows,
            best_loss=patience.best_loss,
            diverged=patience.diverged,
        )

    def shrunk(self, live: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Row and number of the units that go on, once they are few enough alone in the stack."""
        size = len(self.units)
        if len(live) == size or len(live) > SHRINK[self.device.type] * size:
            return live
        self.units = [unit for _, unit in live]
        kept = torch.tensor([at for at, _ in live], dtype=torch.int64, device=self.device)
        self.x, self.parameters, self.gradient, self.best, *self.moments = (
            tensor[kept]
            for tensor in (self.x, self.parameters, self.gradient, self.best, *self.moments)
        )
        self.rng = self.rng.kept(kept)
        self.prepare()
        return list(enumerate(self.units))
