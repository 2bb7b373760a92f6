"""Small legacy trials; the original's block and loop written naively, one trial at a time."""

import torch
from torch import nn
from torch.nn.functional import cross_entropy, elu, gelu, one_hot

from scripts.lib.torch_rng import torch_rng
from scripts.tep_bp.models.interface import Data, batch_orders, numbers
from scripts.tep_bp.models.legacy.transformer_block import Block, flattened, initial_block, viewed
from scripts.tep_bp.models.legacy.two_phases import Step
from scripts.tep_bp.options import Faults, Training
from scripts.tep_bp.plans.space import Trial

HEADS = 4


def trials(n: int, hidden: int = 8, batch: int = 16, **changed) -> list[Trial]:
    """Trials that differ in lr, beta and seed."""
    start = {"rule": "legacy", "hidden": hidden, "batch": batch, "weight_decay": 0.0}
    own = [{"trial": i, "lr": 0.003 * (i + 1), "beta": 0.5 / (i + 1), "seed": i} for i in range(n)]
    return [Trial(**start | {"activation": "tanh"} | one | changed) for one in own]


def samples(dtype: torch.dtype = torch.float64, n: int = 43, inputs: int = 5) -> Data:
    """Three classes that a linear rule tells apart; the last batch of 16 is not complete."""
    rng = torch_rng(3)
    x = torch.randn(n + 20, inputs, generator=rng, dtype=torch.float64)
    y = (x @ torch.randn(inputs, 3, generator=rng, dtype=torch.float64)).argmax(1)
    return Data(x[:n].to(dtype), y[:n], x[n:].to(dtype), y[n:], 3)


def stacked(chosen: list[Trial], inputs: int = 5, classes: int = 3) -> Block:
    own = [initial_block(trial, inputs, classes) for trial in chosen]
    return viewed(torch.stack([flattened(block) for block in own]), own[0])


def step(chosen: list[Trial], x: torch.Tensor, y: torch.Tensor, classes: int, switches: Faults):
    """All phases of a step on the same samples x (B, D) and classes y (B,)."""
    t, hot = len(chosen), one_hot(y, 16).to(x.dtype)
    beta = torch.tensor([trial.beta for trial in chosen], dtype=x.dtype).view(-1, 1, 1)
    block = stacked(chosen, x.shape[1], classes)
    done = Step(block, x.expand(t, -1, -1), hot.expand(t, -1, -1), beta, switches)
    done.free()
    done.nudged()
    return done


class NaiveBlock(nn.Module):
    """Pre-LayerNorm block with linear attention whose only key and value is the embedded sample."""

    def __init__(self, start: Block, classes: int):
        super().__init__()
        d = start.W_v.shape[1]
        self.classes = classes
        self.embedding, self.v, self.o = (
            _linear(start, "e"),
            _linear(start, "v"),
            _linear(start, "o"),
        )
        self.q, self.k = nn.Linear(d, d).double(), nn.Linear(d, d).double()
        self.first, self.second = _linear(start, "1"), _linear(start, "2")
        self.norms = nn.ModuleList(nn.LayerNorm(d).double() for _ in range(3))
        for norm, name in zip(self.norms[1:], "zf", strict=True):
            norm.weight.data = getattr(start, f"scale_{name}").clone().flatten()
            norm.bias.data = getattr(start, f"shift_{name}").clone().flatten()
        self.head = _linear(start, "h")
        self.head.weight.data = self.head.weight.data[:classes]
        self.head.bias.data = self.head.bias.data[:classes]

    def forward(self, h: torch.Tensor, embedded: torch.Tensor, attends: bool = False):
        value = self.v(embedded)
        if attends:
            value = self.attention(self.norms[0](h), embedded, value)
        h = h + self.o(value)
        h = h + self.second(gelu(self.first(self.norms[1](h))))
        return self.norms[2](h)

    def attention(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor):
        q, k, v = (part.unflatten(1, (HEADS, -1)) for part in (self.q(query), self.k(key), value))
        weight = ((elu(q) + 1) * (elu(k) + 1)).sum(2, keepdim=True)
        return (weight * v / (weight + 1e-6)).flatten(1)

    def solve(self, x, y, strength, start, steps, switches):
        """One solve with the nudge by autograd; `strength` 0 is the free phase."""
        every = max(1, min(5, steps // 10))
        embedded, h = self.embedding(x).detach(), start
        for step in range(1, steps + 1):
            f = self(h, embedded).detach().requires_grad_()
            if strength:
                mean = switches.nudge == "batch_mean"
                loss = cross_entropy(self.head(f), y, reduction="mean" if mean else "sum")
                f = f - strength * torch.autograd.grad(loss, f)[0]
            new = ((1 - switches.damping) * h + switches.damping * f).detach()
            close = (f - new).abs().max() < switches.tol
            h = new
            if switches.stop == "early" and step % every == 0 and close:
                break
        return h

    def loss(self, x, y, beta: float, switches: Faults) -> torch.Tensor:
        """What is differentiated once: a proxy of the block, and the head's cross-entropy."""
        zero = torch.zeros(len(x), self.v.in_features, dtype=x.dtype)
        h = self.solve(x, y, 0, zero, switches.free_steps, switches)
        plus = self.solve(x, y, beta, h, switches.nudged_steps, switches)
        f = self(h, self.embedding(x))
        if switches.difference == "one_sided":
            proxy = ((f - plus) ** 2).mean() / beta
        else:
            minus = self.solve(x, y, -beta, h, switches.nudged_steps, switches)
            size = len(x) if switches.nudge == "per_sample" else 1
            proxy = -((plus - minus) / (2 * beta * size) * f).sum()
        return proxy + cross_entropy(self.head(h), y)


def naive_losses(data: Data, trial: Trial, train: Training, switches: Faults) -> list[float]:
    """Held cross-entropy after each epoch of training by torch.optim.Adam."""
    net = NaiveBlock(initial_block(trial, data.x.shape[1], data.classes), data.classes)
    adam = torch.optim.Adam(net.parameters(), trial.lr, train.betas, train.adam_eps)
    orders, losses = batch_orders(trial), []
    for _ in range(train.epochs):
        order = torch.randperm(len(data.x), generator=orders)
        for rows in order.split(trial.batch):
            adam.zero_grad()
            net.loss(numbers(data.x[rows]), data.y[rows], trial.beta, switches).backward()
            adam.step()
        zero = torch.zeros(len(data.held_x), trial.hidden, dtype=data.dtype)
        h = net.solve(numbers(data.held_x), None, 0, zero, switches.free_steps, switches)
        losses.append(cross_entropy(net.head(h), data.held_y).item())
    return losses


def _linear(start: Block, name: str) -> nn.Linear:
    weight, bias = getattr(start, f"W_{name}"), getattr(start, f"b_{name}")
    layer = nn.Linear(*weight.shape).double()
    layer.weight.data, layer.bias.data = weight.T.clone(), bias.flatten().clone()
    return layer
