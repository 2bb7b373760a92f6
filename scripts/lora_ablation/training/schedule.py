"""The source's schedule of one run: learning rate on a plateau, early stopping (shared spec 3)."""

import math

LR_EPS = 1e-8  # ReduceLROnPlateau's default: a smaller step down is not taken


class Schedule:
    """Follows one run's validation accuracy.

    `lr` is multiplied by `factor` after more than `lr_patience` epochs without an accuracy above
    (1 + 1e-4) times the best, as `ReduceLROnPlateau(mode="max")` does; training stops after
    `patience` epochs without a strictly higher accuracy. Departs: the first epoch counts as an
    improvement even at accuracy 0, where the source restores an undefined state.
    """

    def __init__(self, lr: float, factor: float, lr_patience: int, patience: int):
        self.lr, self.factor, self.lr_patience, self.patience = lr, factor, lr_patience, patience
        self.plateau_best = self.best = -math.inf
        self.bad = self.waited = self.epoch = self.best_epoch = 0

    def improved(self, accuracy: float) -> bool:
        """Take in one epoch's accuracy; True if it is strictly the highest so far."""
        self.epoch += 1
        if accuracy > self.plateau_best * (1 + 1e-4):
            self.plateau_best, self.bad = accuracy, 0
        else:
            self.bad += 1
        if self.bad > self.lr_patience:
            lower, self.bad = self.lr * self.factor, 0
            self.lr = lower if self.lr - lower > LR_EPS else self.lr
        if accuracy > self.best:
            self.best, self.best_epoch, self.waited = accuracy, self.epoch, 0
            return True
        self.waited += 1
        return False

    @property
    def stopped(self) -> bool:
        return self.waited >= self.patience
