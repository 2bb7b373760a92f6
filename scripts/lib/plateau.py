"""A learning rate that falls when a score stops rising."""

import math

LR_EPS = 1e-8  # ReduceLROnPlateau's default: a smaller step down is not taken


class Plateau:
    """`lr` is multiplied by `factor` after more than `patience` epochs without a better score.

    Better means above (1 + 1e-4) times the best so far, which the first epoch always is: what
    `torch.optim.lr_scheduler.ReduceLROnPlateau(mode="max")` does, without its optimizer.
    """

    def __init__(self, lr: float, factor: float, patience: int):
        self.lr, self.factor, self.patience = lr, factor, patience
        self.best, self.bad = -math.inf, 0

    def step(self, score: float) -> None:
        """Take in one epoch's score."""
        if score > self.best * (1 + 1e-4):
            self.best, self.bad = score, 0
            return
        self.bad += 1
        if self.bad > self.patience:
            lower, self.bad = self.lr * self.factor, 0
            self.lr = lower if self.lr - lower > LR_EPS else self.lr
