"""Arm `fused`: trials trained one by one, each step a few compiled calls."""

import math

import numpy as np
import torch

from scripts.lib.timing import Phases
from scripts.tep_bp.models.audit import audit, n_parameters, parameter_hash, trial_flops
from scripts.tep_bp.models.fused.learner import Learner
from scripts.tep_bp.models.interface import Data, Fit, batch_orders, sample_losses, watched
from scripts.tep_bp.options import Solver, Training
from scripts.tep_bp.plans.space import Trial


@torch.inference_mode()
def fit_fused(
    data: Data,
    trials: list[Trial],
    train: Training,
    solver: Solver | None,
    learner: type[Learner] = Learner,
) -> list[Fit]:
    """Train trials of any rules and shapes one by one, in float32; their fits in the order given.

    `train` has epochs, betas, adam_eps, spectral_cap, power_steps, watch, rerounded; `solver` has
    omega, mu, free, nudged, and is not read for bp; `learner` does the steps. Hidden units are a
    multiple of 8. Random: weights and orders of batches, by each trial's own seed. Raises
    ValueError for float64 data and other numbers of hidden units. Departs: nothing from the
    reference but its rounding.
    """
    if data.dtype != torch.float32:
        raise ValueError(f"data are {data.x.dtype}: the fused trainer computes in float32 only")
    for trial in trials:
        if trial.hidden % 8:
            raise ValueError(f"hidden is {trial.hidden}: the fused trainer needs a multiple of 8")
    return [_fit(data, trial, train, solver, learner) for trial in trials]


def _fit(
    data: Data, trial: Trial, train: Training, solver: Solver | None, of: type[Learner]
) -> Fit:
    phases = Phases()
    learner, orders = of(data, trial, train, solver), batch_orders(trial)
    x, y, n = data.x.numpy(), data.y.numpy(), len(data.x)
    phases.lap("data")
    scores, diverged = [], None
    for epoch in range(1, train.epochs + 1):
        order = torch.randperm(n, generator=orders).numpy()
        for start in range(0, n, trial.batch):
            chosen = order[start : start + trial.batch]
            samples = learner.gather(x, y, chosen)
            phases.lap("data")
            learner.settle(samples)
            phases.lap("free")
            learner.teach(samples)
            phases.lap("nudged")
            learner.update(samples, len(chosen))
            phases.lap("update")
        if diverged is None and not np.isfinite(learner.flat).all():
            diverged = epoch
        if train.watch or epoch == train.epochs:
            scores.append(predict(learner, data.held_x, data.held_y))
            phases.lap("evaluate")
    cost = phases.columns()
    own = learner.parameters()
    return Fit(
        **watched(scores, data.held_y),
        diverged_epoch=diverged,
        parameter_hash=parameter_hash(own),
        n_parameters=n_parameters(own),
        n_steps=train.epochs * math.ceil(n / trial.batch),
        flops=trial_flops(trial, data, train, solver),
        cost=cost,
        audit=audit(own, data, trial, solver),
    )


def predict(
    learner: Learner, x: torch.Tensor, y: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Classes (M,) of the held samples, and their cross-entropies (M,)."""
    held = learner.gather(x.numpy(), y.numpy(), np.arange(len(y)))
    learner.settle(held)
    logits = torch.from_numpy(learner.logits(held, len(y)))
    return logits.argmax(1), sample_losses(logits, y)
