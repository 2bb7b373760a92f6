"""When training ends: the original's rule on the noisy training loss."""

import math


class Patience:
    """Stop after `patience` epochs without a strictly lower training loss, or at a non-finite one.

    The criterion is the epoch mean of losses taken before each update; there is no validation
    set.
    """

    def __init__(self, patience: int):
        self.patience = patience
        self.best_loss = math.inf
        self.waited = 0
        self.diverged = False

    def improved(self, loss: float) -> bool:
        """Take in one epoch's loss; True if it is the lowest so far."""
        self.diverged = not math.isfinite(loss)
        if loss < self.best_loss:
            self.best_loss, self.waited = loss, 0
            return True
        self.waited += 1
        return False

    @property
    def stopped(self) -> bool:
        return self.diverged or self.waited >= self.patience
