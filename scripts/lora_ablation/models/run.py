"""One run of a cell: its random streams, batches, schedule, best state and history."""

import math
from dataclasses import dataclass

import numpy as np
import torch

from scripts.lib.plateau import Plateau
from scripts.lib.torch_rng import torch_rng
from scripts.lora_ablation.specs import Train


def batches(n: int, size: int, rng: torch.Generator) -> list[torch.Tensor]:
    """Positions of one epoch's batches, in the order of one `randperm`.

    Departs: a last batch of one row, at which the original's batch norm crashes, is left out.
    """
    parts = list(torch.randperm(n, generator=rng).split(size))
    return parts[:-1] if len(parts[-1]) == 1 and len(parts) > 1 else parts


class Schedule:
    """The original's schedule: follows one run's validation accuracy.

    `lr` falls on a plateau (`scripts.lib.plateau`); training stops after `patience` epochs without
    a strictly higher accuracy. Departs: the first epoch counts as an improvement even at accuracy
    0, where the original restores an undefined state.
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


@dataclass
class Fit:
    """A finished run: predicted class of every row of the cell, history, and work done.

    `history` has (training loss, validation accuracy) per epoch, `early_losses` the loss of each
    step of the first epoch; `cost` the time columns; `diverged` if a training loss was not finite.
    """

    predicted: np.ndarray
    history: list[tuple[float, float]]
    early_losses: list[float]
    best_epoch: int
    n_steps: int
    n_kept: int
    n_parameters: int
    diverged: bool
    cost: dict[str, float]


class Run:
    """A run in training; `key` (root seed and labels) addresses its streams.

    `state` is a copy of the best epoch's parameters and buffers. With `legacy_restore` it follows
    the last epoch, as the original's does, whose "best" state dict aliases the live weights.
    """

    def __init__(self, key: tuple, train: Train):
        self.rngs = {name: torch_rng(*key, name) for name in ("init", "shuffle", "dropout")}
        self.schedule = Schedule(train.lr, train.lr_factor, train.lr_patience, train.patience)
        self.max_epochs, self.restore = train.max_epochs, not train.legacy_restore
        self.state: tuple = ()
        self.history: list[tuple[float, float]] = []
        self.early_losses: list[float] = []

    def end_epoch(
        self, loss: float, accuracy: float, state: tuple[torch.Tensor, ...], steps: list[float]
    ) -> None:
        """Take in an epoch's loss and validation accuracy, and the losses of its steps.

        `state` is copied if it is to be kept.
        """
        self.early_losses = self.early_losses or steps
        self.history.append((loss, float(accuracy)))
        if self.schedule.improved(float(accuracy)) or not self.restore:
            self.state = tuple(value.clone() for value in state)

    @property
    def diverged(self) -> bool:
        return bool(self.history) and not math.isfinite(self.history[-1][0])

    @property
    def finished(self) -> bool:
        return self.schedule.stopped or len(self.history) >= self.max_epochs or self.diverged

    def fit(self, predicted: np.ndarray, n_steps: int, **rest) -> Fit:
        """The finished run with its predictions."""
        return Fit(
            predicted=predicted,
            history=self.history,
            early_losses=self.early_losses,
            best_epoch=self.schedule.best_epoch,
            n_steps=n_steps,
            diverged=self.diverged,
            **rest,
        )
