"""Arm `reference`: the training loop as the original describes it, on our streams
(docs/studies/engression.md, Training).

Departs: data, initial weights, shuffling and noise come from labelled streams in place of the
global generator, and the DataLoader gets a sampler with one `randperm` an epoch, so that all
arms see the same numbers. The "best weights" that the original meant to restore and never did
(its snapshot aliases the live parameters) are kept only with `restore: best`.
"""

from collections.abc import Callable

import torch
import torch._dynamo  # the first optimizer of a process would load it, on the clock of its unit
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from scripts.engression.models.fit import EARLY_EPOCHS, History, Problem, Trained
from scripts.engression.models.network import inputs, views
from scripts.engression.models.stopping import Patience
from scripts.lib.torch_rng import EpochPermutation


def module_of(parameters: torch.Tensor, widths: list[int]) -> nn.Sequential:
    """`nn.Sequential` of Linear and ReLU whose weights are copies of the flat vector."""
    layers: list[nn.Module] = []
    for weight, bias in views(parameters, widths):
        linear = nn.Linear(weight.shape[1], weight.shape[0], dtype=parameters.dtype)
        linear.load_state_dict({"weight": weight, "bias": bias})
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def flat_of(net: nn.Module) -> torch.Tensor:
    """A copy of the weights and biases as one flat vector."""
    return torch.cat([p.detach().view(-1) for p in net.parameters()])


def fit_autograd(problem: Problem, loss_of: Callable) -> Trained:
    """Train with DataLoader, autograd and torch.optim.Adam.

    `loss_of(x, y)` takes x (B, d) and y (B, m, d) and returns (loss, term1, term2).
    """
    x, parameters, train, phases = problem.x, problem.parameters, problem.train, problem.phases
    net, width = module_of(parameters, problem.widths), problem.noise_dim
    optimizer = torch.optim.Adam(
        net.parameters(), lr=train.lr, betas=tuple(train.betas), eps=train.adam_eps
    )
    loader = DataLoader(
        TensorDataset(*problem.points(slice(None))),
        batch_size=train.batch,
        sampler=EpochPermutation(len(x), problem.shuffle),
    )
    patience = Patience(train.patience)
    best, early = None, parameters
    history: History = []
    n_steps = 0
    while len(history) < train.max_epochs and not patience.stopped:
        sums = [0.0, 0.0, 0.0]
        for batch, *given in loader:
            phases.lap("data")
            optimizer.zero_grad()
            eps = torch.randn(
                len(batch), train.m, width, generator=problem.noise, dtype=torch.float32
            ).to(parameters.dtype)
            phases.lap("noise")
            rows = inputs(eps.flatten(0, 1), *(given or [None]))
            y = net(rows).view(len(batch), train.m, -1)
            phases.lap("forward")
            values = loss_of(batch.view(len(batch), -1), y)
            phases.lap("loss")
            values[0].backward()
            phases.lap("backward")
            optimizer.step()
            phases.lap("optimizer")
            for i, value in enumerate(values):
                sums[i] += value.item() * len(batch)
            n_steps += 1
        history.append(tuple(total / len(x) for total in sums))
        if patience.improved(history[-1][0]) and train.restore == "best":
            best = {name: value.clone() for name, value in net.state_dict().items()}
        if len(history) <= EARLY_EPOCHS:
            early = flat_of(net)
        phases.lap("bookkeeping")
    if best is not None:
        net.load_state_dict(best)
    parameters.copy_(flat_of(net))
    noise_rows = len(history) * len(x) * train.m
    return Trained(history, early, n_steps, noise_rows, patience)
