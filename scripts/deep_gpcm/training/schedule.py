"""The learning rate of each epoch, and which epoch's weights are kept."""

import math

from scripts.lib.plateau import Plateau


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
