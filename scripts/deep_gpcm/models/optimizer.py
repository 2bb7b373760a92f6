"""The optimizer's step by name, the learning rate of each epoch, and whose weights are kept."""

import math
from collections.abc import Callable

import torch

from scripts.lib.fused_adam import fused_adam
from scripts.lib.plateau import Plateau

Step = Callable[[float], None]


def module_step(parameters: list[torch.Tensor], train: dict) -> Step:
    """`step(lr)` by `torch.optim.Adam` or `AdamW`."""
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[train["optimizer"]]
    optimizer = kind(
        parameters,
        lr=train["lr"],
        betas=tuple(train["betas"]),
        eps=train["adam_eps"],
        weight_decay=train["weight_decay"],
    )

    def step(lr: float) -> None:
        for group in optimizer.param_groups:
            group["lr"] = lr
        optimizer.step()

    return step


def fused_step(parameters: list[torch.Tensor], train: dict) -> Step:
    """The same update in one pass over each parameter."""
    moments = tuple([torch.zeros_like(p) for p in parameters] for _ in range(2))
    counts = [torch.tensor(0.0) for _ in parameters]
    decay = (train["weight_decay"], train["optimizer"] == "adamw")

    def step(lr: float) -> None:
        with torch.no_grad():
            fused_adam(parameters, [p.grad for p in parameters], moments, counts, lr, train, *decay)

    return step


STEPS = {"module": module_step, "fused": fused_step}


class Schedule:
    """Follows the validation QWK of one run.

    `plateau`: the rate falls by `lr_factor` after more than `lr_patience` epochs without a better
    QWK. `cosine_restarts`: it follows half a cosine down and starts again every `restart` epochs
    (torch's CosineAnnealingWarmRestarts with T_mult 1). `keep` is `best` (highest QWK) or `last`.
    """

    def __init__(self, train: dict):
        self.train, self.epoch, self.best_epoch, self.best = train, 0, 0, -math.inf
        self.plateau = Plateau(train["lr"], train["lr_factor"], train["lr_patience"])

    @property
    def lr(self) -> float:
        if self.train["schedule"] == "plateau":
            return self.plateau.lr
        turn = self.epoch % self.train["restart"] / self.train["restart"]
        return self.train["lr"] * (1 + math.cos(math.pi * turn)) / 2

    def keeps(self, qwk: float) -> bool:
        """Take in one epoch's validation QWK; whether its weights are the ones to keep so far."""
        self.epoch += 1
        self.plateau.step(qwk)
        better = qwk > self.best
        if better:
            self.best, self.best_epoch = qwk, self.epoch
        if self.train["keep"] == "last":
            self.best_epoch = self.epoch
        return better or self.train["keep"] == "last"
