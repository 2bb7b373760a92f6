"""Adam's step, the learning rate of each epoch, and the weights of which epoch are kept."""

import math
from collections.abc import Callable, Sequence

import torch

from scripts.deep_gpcm.options import Training
from scripts.lib.fused_adam import fused_adam
from scripts.lib.plateau import Plateau

Step = Callable[[float], None]


def adam_options(train: Training) -> tuple[Sequence[float], float, float, bool]:
    """What `fused_adam` is told beside the state and the learning rate."""
    return train.betas, train.adam_eps, train.weight_decay, train.optimizer == "adamw"


def fused_step(parameters: list[torch.Tensor], train: Training) -> Step:
    """`step(lr)`: Adam's update in one pass over each parameter, decoupled for `adamw`."""
    moments = tuple([torch.zeros_like(p) for p in parameters] for _ in range(2))
    counts = [torch.zeros((), device=p.device) for p in parameters]
    options = adam_options(train)

    def step(lr: float) -> None:
        gradients = [parameter.grad for parameter in parameters]
        with torch.no_grad():
            fused_adam(parameters, gradients, moments, counts, lr, *options)

    return step


class Schedule:
    """Follows the validation QWK of one run.

    `plateau`: the rate falls by `lr_factor` after more than `lr_patience` epochs without a better
    QWK. `cosine_restarts`: it follows half a cosine down and starts again every `restart` epochs
    (torch's CosineAnnealingWarmRestarts with T_mult 1). `keep` is `best` (highest QWK) or `last`.
    """

    def __init__(self, train: Training):
        self.train, self.epoch, self.best_epoch, self.best = train, 0, 0, -math.inf
        self.plateau = Plateau(train.lr, train.lr_factor, train.lr_patience)

    @property
    def lr(self) -> float:
        if self.train.schedule == "plateau":
            return self.plateau.lr
        turn = self.epoch % self.train.restart / self.train.restart
        return self.train.lr * (1 + math.cos(math.pi * turn)) / 2

    def keeps(self, qwk: float) -> bool:
        """Take in one epoch's validation QWK; whether its weights are the ones to keep so far."""
        self.epoch += 1
        self.plateau.step(qwk)
        better = qwk > self.best
        if better:
            self.best, self.best_epoch = qwk, self.epoch
        if self.train.keep == "last":
            self.best_epoch = self.epoch
        return better or self.train.keep == "last"
