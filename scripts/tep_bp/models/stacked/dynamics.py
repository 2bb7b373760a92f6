"""The closed loop of stacked trials, iterated towards its fixed points.

Model and solvers: docs/studies/tep_bp.md, Model and Solvers.
"""

from collections.abc import Callable

import torch

from scripts.tep_bp.models.stacked.parameters import like
from scripts.tep_bp.options import Solver

# Writes the image of the states (T, rows, d) to the buffer it is given, and returns it.
Image = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class Activation:
    """tanh for the first trials of a stack (T, rows, d), relu for the others."""

    def __init__(self, n_tanh: int):
        self.n_tanh = n_tanh

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        """Applied in place."""
        if self.n_tanh:
            z[: self.n_tanh].tanh_()
        if self.n_tanh < len(z):
            z[self.n_tanh :].relu_()
        return z

    def slope(self, h: torch.Tensor) -> torch.Tensor:
        """Derivative where the activation is h."""
        found, k = like(h), self.n_tanh
        found[:k] = 1 - h[:k] * h[:k]
        found[k:] = h[k:] > 0
        return found


def iterate(first: torch.Tensor, start: torch.Tensor, image: Image, steps: int, solver: Solver):
    """The state after `steps` of h' = h + omega (f(h) - h) + mu (h - previous h), from rest.

    `first` is f(start), known beforehand; both are overwritten. omega 1, mu 0 is the plain
    iteration; other values are the heavy ball, which has the same fixed points.
    """
    omega, mu = solver.omega, solver.mu
    if omega == 1 and mu == 0:
        h, spare = first, start
        for _ in range(steps - 1):
            h, spare = image(h, spare), h
        return h
    # From rest, the first step has no momentum.
    h, previous, spare = torch.lerp(start, first, omega, out=like(start)), start, first
    for _ in range(steps - 1):
        new = image(h, spare)
        previous.mul_(-mu).add_(h, alpha=1 - omega + mu).add_(new, alpha=omega)
        h, previous = previous, h
    return h


def drive(x: torch.Tensor, w_x: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """What the samples add to every iteration, (T, rows, d)."""
    return torch.baddbmm(b, x, w_x, out=like(x[:, :, :1].expand(-1, -1, w_x.shape[2])))


def free_phase(
    driven: torch.Tensor, w: torch.Tensor, activation: Activation, solver: Solver
) -> torch.Tensor:
    """States (T, rows, d) after `solver.free` iterations of rho(driven + h W) from h = 0."""

    def image(h: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        return activation(torch.baddbmm(driven, h, w, out=out))

    # At 0 the image needs no product.
    first = activation(like(driven).copy_(driven))
    return iterate(first, like(driven).zero_(), image, solver.free, solver)
