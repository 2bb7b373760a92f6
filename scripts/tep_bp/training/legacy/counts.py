"""Parameters and floating-point operations of the reduced block (spec 1.3, 5.1)."""

from typing import NamedTuple

import torch


class Sizes(NamedTuple):
    inputs: int
    hidden: int
    classes: int


def n_parameters(sizes: Sizes) -> int:
    """Those that act: without queries, keys and the attention's LayerNorm."""
    inputs, d, classes = sizes
    embedding, head = inputs * d + d, d * classes + classes
    return embedding + 2 * (d**2 + d) + (8 * d**2 + 5 * d) + 4 * d + head


def step_flops(sizes: Sizes, free: torch.Tensor, nudged: torch.Tensor) -> torch.Tensor:
    """Products per sample of a step, by iterations [T] of its solves.

    The nudged phase reads the head and its transpose; the update goes through one f forwards and,
    at twice the price, backwards.
    """
    iteration, driving, reading = _products(sizes)
    update = 3 * (driving + iteration + reading)
    return (iteration * (free + nudged) + 2 * reading * nudged + update).double()


def score_flops(sizes: Sizes, free: torch.Tensor) -> torch.Tensor:
    """Products per held sample of a scoring, by iterations [T] of its solve."""
    iteration, driving, reading = _products(sizes)
    return (driving + iteration * free + reading).double()


def _products(sizes: Sizes) -> tuple[int, int, int]:
    inputs, d, classes = sizes
    return 16 * d**2, 2 * inputs * d + 4 * d**2, 2 * d * classes
