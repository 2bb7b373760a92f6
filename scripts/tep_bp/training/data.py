"""The samples of a task that a trial trains on, and those it is scored on, in memory."""

from dataclasses import dataclass

import torch

from scripts.tep_bp.task import Task

PIXEL = 255.0  # a byte of 255 stands for 1


@dataclass(frozen=True)
class Data:
    """x (N, D) and y (N,) to train on; held_x (M, D) and held_y (M,) to score on.

    x is uint8 (0 to 255 stands for 0 to 1), float32, or float64, which makes everything float64.
    """

    x: torch.Tensor
    y: torch.Tensor
    held_x: torch.Tensor
    held_y: torch.Tensor
    classes: int

    @property
    def dtype(self) -> torch.dtype:
        return torch.float64 if self.x.dtype == torch.float64 else torch.float32


def data_of(task: Task, parts: tuple[str, ...], held: str) -> Data:
    """Training samples of `parts`, in order of row number, and scoring samples of `held`."""
    rows = torch.cat([torch.from_numpy(task.parts[part]) for part in parts]).sort().values
    x, y = torch.from_numpy(task.x), torch.from_numpy(task.y)
    scored = torch.from_numpy(task.parts[held])
    return Data(x[rows], y[rows], x[scored], y[scored], task.classes)


def numbers(x: torch.Tensor) -> torch.Tensor:
    """Samples as floating-point numbers: bytes become float32 of 0 to 1."""
    return x.float() / PIXEL if x.dtype == torch.uint8 else x
