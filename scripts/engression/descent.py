"""The training loop of all arms but the reference: shuffle, estimate a gradient, Adam, stop."""

from collections.abc import Callable

import torch

from scripts.engression.stopping import Patience
from scripts.lib.fused_adam import fused_adam
from scripts.lib.timing import Phases


def descend(
    x: torch.Tensor,
    parameters: torch.Tensor,
    gradient: torch.Tensor,
    estimate: Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor, torch.Tensor]],
    shuffle: torch.Generator,
    train: dict,
    phases: Phases,
) -> tuple[list[tuple[float, float, float]], int, Patience]:
    """Train `parameters` in place; returns the history, the number of steps and the stopping state.

    `estimate(batch)` fills `gradient` and returns (loss, term1, term2); it may book its own
    phases. `shuffle` yields one permutation an epoch. The loss is read once an epoch.
    """
    n = x.shape[0]
    moments = [torch.zeros_like(parameters)], [torch.zeros_like(parameters)]
    step = torch.tensor(0.0)
    patience = Patience(train["patience"])
    best = parameters.clone()
    history: list[tuple[float, float, float]] = []
    n_steps = 0
    while len(history) < train["max_epochs"] and not patience.stopped:
        totals = torch.zeros(3, dtype=torch.float64)
        for batch in torch.randperm(n, generator=shuffle).split(train["batch"]):
            values = estimate(x[batch])
            fused_adam([parameters], [gradient], moments, [step], train["lr"], train)
            phases.lap("optimizer")
            totals.add_(torch.stack(values), alpha=len(batch))
            n_steps += 1
        history.append(tuple((totals / n).tolist()))
        if patience.improved(history[-1][0]) and train["restore"] == "best":
            best.copy_(parameters)
        phases.lap("bookkeeping")
    if train["restore"] == "best":
        parameters.copy_(best)
    return history, n_steps, patience
