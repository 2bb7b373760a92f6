"""Arm `stacked`: trials of one rule and shape trained as one batch, a tensor dimension of trials.

On a CPU or a GPU, where a step is one graph, as its iterations are a fixed number. No autograd, no
loader, no module (docs/studies/tep_bp.md, Batched training).
"""

import math
from collections.abc import Iterator

import torch

from scripts.lib.devices import settle, torch_device
from scripts.lib.gpu_stacks import graphed
from scripts.lib.timing import Phases
from scripts.tep_bp.models.audit import audit, n_parameters, parameter_hash, trial_flops
from scripts.tep_bp.models.interface import (
    Data,
    Fit,
    batch_orders,
    numbers,
    sample_losses,
    watched,
)
from scripts.tep_bp.models.stacked.dynamics import Activation, drive, free_phase
from scripts.tep_bp.models.stacked.gradients import GRADIENTS, logits
from scripts.tep_bp.models.stacked.optimiser import Adam, contract
from scripts.tep_bp.models.stacked.parameters import Parameters, rows, stacked_parameters
from scripts.tep_bp.options import Solver, Training
from scripts.tep_bp.plans.space import Trial

ROWS = 2048  # held samples at a time: a number of memory, not of the stack


@torch.inference_mode()
def fit_stack(
    data: Data, trials: list[Trial], train: Training, solver: Solver | None, device: str = "cpu"
) -> list[Fit]:
    """Train trials of equal rule, hidden and batch; their fits in the order given.

    `train` has epochs, betas, adam_eps, spectral_cap, power_steps, watch (score the held samples
    after every epoch, or only the last); `solver` has omega, mu, free, nudged. Random: weights and
    orders of batches, by each trial's own seed: no number depends on who else is in the stack.
    Departs: nothing from the reference but its order of sums (docs/studies/tep_bp.md,
    Batched training).
    """
    # tanh first, so that each activation is one slice.
    places = sorted(range(len(trials)), key=lambda i: trials[i].activation != "tanh")
    fits = _fit(data, [trials[i] for i in places], train, solver, torch_device(device))
    return [fits[places.index(i)] for i in range(len(trials))]


def training(
    data: Data, trials: list[Trial], train: Training, solver: Solver | None, phases: Phases
) -> Iterator[tuple[Parameters, Activation]]:
    """The stack after each epoch of a training; the same objects, which go on to change.

    `trials` have tanh before relu. It computes where the data are.
    """
    parameters, u = stacked_parameters(trials, data, train.rerounded)
    estimate, adam = parameters.like(), Adam(parameters.flat, trials, train, parameters.decays())
    activation = Activation(sum(trial.activation == "tanh" for trial in trials))
    beta = torch.tensor([t.beta for t in trials], dtype=data.dtype, device=data.x.device)
    beta = beta[:, None, None]
    gradient, orders = GRADIENTS[trials[0].rule], [batch_orders(trial) for trial in trials]
    # The kernels of a graph have no clock between them.
    clock = phases if data.x.device.type == "cpu" else Phases()

    def step(x: torch.Tensor, y: torch.Tensor) -> None:
        gradient(x, y, parameters, activation, beta, solver, estimate, clock)
        adam.step(estimate.flat)
        if "W" in parameters.views:
            contract(parameters.W, u, train.spectral_cap, train.power_steps)

    take = graphed(step, [parameters.flat, adam.mean, adam.square, adam.count, u])
    for _ in range(train.epochs):
        order = torch.stack([torch.randperm(len(data.x), generator=rng) for rng in orders])
        for chosen in order.to(data.x.device).split(trials[0].batch, dim=1):
            samples = batch(data, chosen)
            phases.lap("data")
            take(*samples)
            phases.lap("update")
        settle(data.x.device)
        phases.lap("update")
        yield parameters, activation


def _fit(
    data: Data,
    trials: list[Trial],
    train: Training,
    solver: Solver | None,
    device: torch.device,
) -> list[Fit]:
    phases, scores, diverged = Phases(), [], [None] * len(trials)
    placed = data.on(device)
    epochs = enumerate(training(placed, trials, train, solver, phases), start=1)
    for epoch, (parameters, activation) in epochs:
        finite = parameters.flat.isfinite().all(dim=1).tolist()
        diverged = [at or (None if ok else epoch) for at, ok in zip(diverged, finite, strict=True)]
        if train.watch or epoch == train.epochs:
            scores.append(predict(parameters, placed, activation, solver))
            settle(device)
            phases.lap("evaluate")
    cost = {name: seconds / len(trials) for name, seconds in phases.columns().items()}
    fits = []
    for i, trial in enumerate(trials):
        own = parameters.of(i)
        fits.append(
            Fit(
                **watched([(classes[i], losses[i]) for classes, losses in scores], data.held_y),
                diverged_epoch=diverged[i],
                parameter_hash=parameter_hash(own),
                n_parameters=n_parameters(own),
                n_steps=train.epochs * math.ceil(len(data.x) / trial.batch),
                flops=trial_flops(trial, data, train, solver),
                cost=cost,
                audit=audit(own, data, trial, solver),
            )
        )
    return fits


def batch(data: Data, chosen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Samples (T, n, D) and classes (T, n) of the row numbers (T, n)."""
    trials, n = chosen.shape
    x = rows(trials, n, data.x.shape[1], data.dtype, data.x.device)
    x.copy_(numbers(data.x[chosen]))
    return x, data.y[chosen]


def predict(
    parameters: Parameters, data: Data, activation: Activation, solver: Solver | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Classes (T, M) of the held samples, and their cross-entropies (T, M)."""
    trials, held = len(parameters.flat), len(data.held_x)
    classes, losses = [], []
    for start in range(0, held, ROWS):
        x, y = numbers(data.held_x[start : start + ROWS]), data.held_y[start : start + ROWS]
        driven = drive(x.expand(trials, -1, -1), parameters.W_x, parameters.b)
        recurrent = "W" in parameters.views
        h = (
            free_phase(driven, parameters.W, activation, solver)
            if recurrent
            else activation(driven)
        )
        outputs = logits(h, parameters)[..., : data.classes]
        classes.append(outputs.argmax(-1))
        told = outputs.flatten(0, 1), y.repeat(trials)
        losses.append(sample_losses(*told).view(trials, -1))
    return torch.cat(classes, dim=1), torch.cat(losses, dim=1)
