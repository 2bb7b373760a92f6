"""Stacks whose slices all start on a line of the cache.

Then a trial's sums and products are the same bits wherever it stands in the stack (spec 5.2).
"""

import math

import torch

LINE = 16  # float32


def padded(n: int) -> int:
    """The next multiple of a line."""
    return math.ceil(n / LINE) * LINE


def rows(trials: int, n: int, width: int, dtype: torch.dtype) -> torch.Tensor:
    """Room for n rows per trial, (T, n, width), not initialised."""
    return torch.empty(trials, padded(n), width, dtype=dtype)[:, :n]


def like(stack: torch.Tensor) -> torch.Tensor:
    """Room of the same shape."""
    return rows(*stack.shape, stack.dtype)
