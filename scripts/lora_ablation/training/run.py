"""One run of a cell: its random streams, its schedule, its best state, its history."""

import math
from dataclasses import dataclass

import numpy as np
import torch

from scripts.lib.torch_rng import torch_rng
from scripts.lora_ablation.training.schedule import Schedule


@dataclass
class Fit:
    """A finished run: predicted class of every row of the cell, history, and work done.

    `history` has (training loss, validation accuracy) per epoch; `cost` the time columns;
    `diverged` if a training loss was not finite.
    """

    predicted: np.ndarray
    history: list[tuple[float, float]]
    best_epoch: int
    n_steps: int
    n_kept: int
    n_parameters: int
    diverged: bool
    cost: dict[str, float]


class Run:
    """A run in training; `key` (root seed and labels) addresses its streams.

    `state` is a copy of the best epoch's parameters and buffers. With `legacy_restore` it follows
    the last epoch, as the source's does, whose "best" state dict aliases the live weights.
    """

    def __init__(self, key: tuple, train: dict):
        self.rngs = {name: torch_rng(*key, name) for name in ("init", "shuffle", "dropout")}
        self.schedule = Schedule(
            train["lr"], train["lr_factor"], train["lr_patience"], train["patience"]
        )
        self.max_epochs, self.restore = train["max_epochs"], not train["legacy_restore"]
        self.state: tuple = ()
        self.history: list[tuple[float, float]] = []

    def end_epoch(self, loss: float, accuracy: float, state: tuple[torch.Tensor, ...]) -> None:
        """Take in an epoch's loss and validation accuracy; copy `state` if it is to be kept."""
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
            best_epoch=self.schedule.best_epoch,
            n_steps=n_steps,
            diverged=self.diverged,
            **rest,
        )
