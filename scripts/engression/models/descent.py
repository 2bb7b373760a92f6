"""The training loop of all arms but the reference: shuffle, estimate a gradient, Adam, stop."""

from collections.abc import Callable
from typing import Any

import torch
from torch.linalg import LinAlgError

from scripts.engression.models.fit import EARLY_EPOCHS, Fit, History, Problem, Trained, fit
from scripts.engression.models.stopping import Patience
from scripts.lib.fused_adam import fused_adam
from scripts.lib.own_study import Failed, Unit


def descended(unit: Unit, estimator: Callable[[Problem, torch.Tensor], Any]) -> Fit:
    """Trained by an estimator of the gradient; Failed where its covariance has no root."""
    try:
        return fit(unit, descend, estimator)
    except LinAlgError as error:
        raise Failed(str(error)) from None


def descend(problem: Problem, estimator: Callable[[Problem, torch.Tensor], Any]) -> Trained:
    """Train the parameters in place by an estimator of the gradient.

    `estimator(problem, gradient)` is called with a batch, and its covariates, if there are any: it
    fills `gradient` and returns (loss, term1, term2), floats, counts its `noise_rows`, and may book
    its own phases.
    """
    parameters, train, phases = problem.parameters, problem.train, problem.phases
    gradient = torch.zeros_like(parameters)
    estimate = estimator(problem, gradient)
    n = len(problem.x)
    moments = [torch.zeros_like(parameters)], [torch.zeros_like(parameters)]
    step = torch.tensor(0.0)
    patience = Patience(train.patience)
    best, early = parameters.clone(), parameters.clone()
    history: History = []
    n_steps = 0
    while len(history) < train.max_epochs and not patience.stopped:
        sums = [0.0, 0.0, 0.0]
        for batch in torch.randperm(n, generator=problem.shuffle).split(train.batch):
            values = estimate(*problem.points(batch))
            fused_adam(
                [parameters], [gradient], moments, [step], train.lr, train.betas, train.adam_eps
            )
            phases.lap("optimizer")
            for i, value in enumerate(values):
                sums[i] += value * len(batch)
            n_steps += 1
        history.append(tuple(total / n for total in sums))
        if patience.improved(history[-1][0]) and train.restore == "best":
            best.copy_(parameters)
        if len(history) <= EARLY_EPOCHS:
            early.copy_(parameters)
        phases.lap("bookkeeping")
    if train.restore == "best":
        parameters.copy_(best)
    return Trained(history, early, n_steps, estimate.noise_rows, patience)
