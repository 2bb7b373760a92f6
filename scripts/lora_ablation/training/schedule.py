"""The source's schedule of one run: learning rate on a plateau, early stopping (shared spec 3)."""

import math

from scripts.lib.plateau import Plateau


class Schedule:
    """Follows one run's validation accuracy.

    `lr` falls on a plateau (`scripts.lib.plateau`); training stops after `patience` epochs without
    a strictly higher accuracy. Departs: the first epoch counts as an improvement even at accuracy
    0, where the source restores an undefined state.
    """

    def __init__(self, lr: float, factor: float, lr_patience: int, patience: int):
        self.plateau, self.patience = Plateau(lr, factor, lr_patience), patience
        self.best = -math.inf
        self.waited = self.epoch = self.best_epoch = 0

    @property
    def lr(self) -> float:
        return self.plateau.lr

    def improved(self, accuracy: float) -> bool:
        """Take in one epoch's accuracy; True if it is strictly the highest so far."""
        self.epoch += 1
        self.plateau.step(accuracy)
        if accuracy > self.best:
            self.best, self.best_epoch, self.waited = accuracy, self.epoch, 0
            return True
        self.waited += 1
        return False

    @property
    def stopped(self) -> bool:
        return self.waited >= self.patience
