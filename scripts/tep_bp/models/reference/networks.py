"""The two networks of the study as modules: a perceptron, and a layer in a closed loop."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from scripts.tep_bp.options import Solver

ACTIVATIONS = {"tanh": torch.tanh, "relu": torch.relu}
# By the value of the activation.
SLOPES = {"tanh": lambda h: 1 - h**2, "relu": lambda h: (h > 0).to(h.dtype)}


class Perceptron(nn.Module):
    """h = rho(x W_x + b), logits h W_o + b_o (rule bp).

    `start` has its parameters, whose names, shapes and order are those of `initial`.
    """

    names = ("W_x", "b", "W_o", "b_o")

    def __init__(self, start: dict[str, Tensor], activation: str):
        super().__init__()
        self.rho, self.slope = ACTIVATIONS[activation], SLOPES[activation]
        for name in self.names:
            self.register_parameter(name, nn.Parameter(start[name]))

    def drive(self, x: Tensor) -> Tensor:
        return torch.addmm(self.b, x, self.W_x)

    def state(self, x: Tensor) -> Tensor:
        """Hidden states (B, d)."""
        return self.rho(self.drive(x))

    def logits(self, h: Tensor) -> Tensor:
        return torch.addmm(self.b_o, h, self.W_o)

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(self.state(x))


class Recurrent(Perceptron):
    """h* = rho(x W_x + b + h* W), logits h* W_o + b_o, with symmetric W.

    Source: docs/studies/tep_bp.md, Model.

    `solver` has free and nudged (numbers of iterations), omega and mu (heavy ball), and may have
    tol: the free phase stops once no unit moves further. `origin` is where it starts, 0 if None;
    `settled` and `taken` are the states that it left and its iterations.
    """

    names = ("W_x", "b", "W", "W_o", "b_o")

    def __init__(self, start: dict[str, Tensor], activation: str, solver: Solver):
        super().__init__(start, activation)
        self.register_buffer("u", start["u"])
        self.solver = solver
        self.origin: Tensor | None = None
        self.settled: Tensor | None = None
        self.taken = 0

    def loop(self, drive: Tensor, h: Tensor) -> Tensor:
        """One iteration, rho(drive + h W)."""
        return self.rho(torch.addmm(drive, h, self.W))

    def free(self, drive: Tensor) -> Tensor:
        """The free phase."""

        def step(h: Tensor) -> Tensor:
            return self.loop(drive, h)

        h = torch.zeros_like(drive) if self.origin is None else self.origin
        if self.solver.tol is not None:
            self.settled, self.taken = until(step, h, self.solver.free, self.solver.tol)
        else:
            self.taken = self.solver.free
            self.settled = relaxed(step, h, self.taken, self.solver)
        return self.settled

    def state(self, x: Tensor) -> Tensor:
        return self.free(self.drive(x))

    @torch.no_grad()
    def contract(self, cap: float, steps: int) -> None:
        """Symmetrise W and cap its spectral norm as seen by `steps` power iterations from u."""
        self.W.copy_((self.W + self.W.T) / 2)
        for _ in range(steps):
            v = self.W @ self.u
            norm = v.norm()
            self.u = v / norm
        self.W.mul_((cap / norm).clamp(max=1))


def until(step: Callable[[Tensor], Tensor], h: Tensor, most: int, tol: float) -> tuple[Tensor, int]:
    """Plain iterations from h until no entry changes by more than tol, `most` at most; how many."""
    for taken in range(1, most + 1):
        h, previous = step(h), h
        if (h - previous).abs().max() <= tol:
            return h, taken
    return h, most


def relaxed(step: Callable[[Tensor], Tensor], h: Tensor, steps: int, solver: Solver) -> Tensor:
    """`steps` of the heavy ball h' = h + omega (step(h) - h) + mu (h - previous h) from rest at h.

    omega 1 and mu 0 is the plain iteration; all have the fixed points of `step`
    (docs/studies/tep_bp.md, Solvers).
    """
    omega, mu = solver.omega, solver.mu
    if omega == 1 and mu == 0:
        for _ in range(steps):
            h = step(h)
        return h
    previous = h
    for _ in range(steps):
        h, previous = h + omega * (step(h) - h) + mu * (h - previous), h
    return h
