"""Arm `reference`: one trial trained as a careful researcher would write it.

A module, a DataLoader, nudges by autograd, `torch.optim.AdamW`. It shares with the other arms
only the starting point, the order of the batches and the form of the result.
"""

from contextlib import nullcontext

import torch
import torch._dynamo  # the first optimizer of a process would load it, on the clock of its trial
from torch.utils.data import DataLoader, TensorDataset

from scripts.lib.devices import settle, torch_device
from scripts.lib.timing import Phases
from scripts.lib.torch_rng import EpochPermutation
from scripts.tep_bp.models.audit import audit, n_parameters, parameter_hash, trial_flops
from scripts.tep_bp.models.interface import (
    Data,
    Fit,
    batch_orders,
    initial,
    numbers,
    sample_losses,
    watched,
)
from scripts.tep_bp.models.reference.free_phases import (
    LastStates,
    compile_free,
    gradient_cosine,
)
from scripts.tep_bp.models.reference.learning_rules import RULES
from scripts.tep_bp.models.reference.networks import Perceptron, Recurrent
from scripts.tep_bp.options import Solver, Training
from scripts.tep_bp.plans.space import Trial

HELD_BATCH = 4096  # samples scored at once


def network(trial: Trial, data: Data, solver: Solver | None, rerounded: int = 0) -> Perceptron:
    """The network of the trial's rule, where the trial starts."""
    start = initial(trial, data.x.shape[1], data.classes, rerounded)
    if trial.rule == "bp":
        return Perceptron(start, trial.activation).to(data.dtype)
    return Recurrent(start, trial.activation, solver).to(data.dtype)


def adam(net: Perceptron, trial: Trial, train: Training) -> torch.optim.Optimizer:
    """Adam whose decoupled weight decay spares the biases."""
    matrices = [p for p in net.parameters() if p.ndim == 2]
    biases = [p for p in net.parameters() if p.ndim == 1]
    return torch.optim.AdamW(
        [
            {"params": matrices, "weight_decay": trial.weight_decay},
            {"params": biases, "weight_decay": 0.0},
        ],
        lr=trial.lr,
        betas=tuple(train.betas),
        eps=train.adam_eps,
    )


def loader(data: Data, trial: Trial, train: Training) -> DataLoader:
    """Batches of one epoch each time it is iterated; the last may be smaller.

    `train` has workers (processes) and persistent (kept from epoch to epoch). For a warm start
    row numbers come with samples and classes.
    """
    rows = (torch.arange(len(data.x)),) if train.proposal == "warm_start" else ()
    return DataLoader(
        TensorDataset(data.x, data.y, *rows),
        batch_size=trial.batch,
        sampler=EpochPermutation(len(data.x), batch_orders(trial)),
        num_workers=train.workers,
        persistent_workers=train.persistent,
    )


@torch.no_grad()
def scored(net: Perceptron, data: Data) -> tuple[torch.Tensor, torch.Tensor]:
    """Classes predicted for the held samples, and their cross-entropies (M,)."""
    logits = torch.cat([net(numbers(x)) for x in data.held_x.split(HELD_BATCH)])
    return logits.argmax(1), sample_losses(logits, data.held_y)


def finite(net: Perceptron) -> bool:
    return all(bool(p.isfinite().all()) for p in net.parameters())


def fit_trial(
    data: Data, trial: Trial, train: Training, solver: Solver | None, device: str = "cpu"
) -> Fit:
    """Train and score one trial, single-process but for `train.workers` of the DataLoader.

    `train` has epochs, betas, adam_eps, spectral_cap, power_steps, watch (score after every
    epoch), workers, persistent, difference, proposal, rerounded; `solver` has omega, mu, free,
    nudged and perhaps tol. Random: weights and batch orders, by trial.seed. In float64 where the
    data are. A trial that diverges is trained to the end.
    """
    clock = Phases()
    place = torch_device(device)
    placed, net = data.on(place), network(trial, data, solver, train.rerounded).to(place)
    optimizer = adam(net, trial, train)
    batches, learn = loader(data, trial, train), RULES[trial.rule]
    scores, diverged_epoch = [], None
    n_steps = n_iterations = 0
    if train.proposal == "compiled":
        compile_free(net, trial, numbers(placed.x[: trial.batch]))
        clock.lap("compile")
    last = LastStates(net, placed) if train.proposal == "warm_start" else None
    for epoch in range(1, train.epochs + 1):
        for x, y, *rows in batches:
            x, y = numbers(x.to(place)), y.to(place)
            clock.lap("data")
            with last.of(*rows) if last else nullcontext():
                learn(net, x, y, trial, train, clock)
            optimizer.step()
            if isinstance(net, Recurrent):
                net.contract(train.spectral_cap, train.power_steps)
                n_iterations += net.taken
            clock.lap("update")
            n_steps += 1
        if diverged_epoch is None and not finite(net):
            diverged_epoch = epoch
        if train.watch or epoch == train.epochs:
            scores.append(scored(net, placed))
        settle(place)
        clock.lap("evaluate")
    own = {name: parameter.detach().cpu() for name, parameter in net.named_parameters()}
    found, cost = audit(own, data, trial, solver), clock.columns()
    if isinstance(net, Recurrent):
        cost["n_iterations"] = n_iterations  # of the free phases
    if train.proposal == "bfloat16":
        found["gradient_cosine"] = gradient_cosine(net, placed, trial, train)
    return Fit(
        **watched(scores, data.held_y),
        diverged_epoch=diverged_epoch,
        parameter_hash=parameter_hash(own),
        n_parameters=n_parameters(own),
        n_steps=n_steps,
        flops=trial_flops(trial, data, train, solver),
        cost=cost,
        audit=found,
    )
