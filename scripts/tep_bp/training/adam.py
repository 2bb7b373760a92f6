"""Adam on stacked trials, each with its own step size and weight decay."""

import math

import torch

from scripts.tep_bp.trial import Trial


class Adam:
    """Bias-corrected Adam on parameters (T, P), in place; `train` has betas and adam_eps.

    Weight decay is decoupled (spec 1.9): `decays` (T, P) is 1 where a parameter decays at its
    trial's rate, and 0 elsewhere; None for no decay at all.
    """

    def __init__(
        self,
        parameters: torch.Tensor,
        trials: list[Trial],
        train: dict,
        decays: torch.Tensor | None = None,
    ):
        self.parameters, self.betas, self.eps = parameters, train["betas"], train["adam_eps"]
        lr = torch.tensor([[trial.lr] for trial in trials], dtype=torch.float64)
        rate = lr * torch.tensor([[trial.weight_decay] for trial in trials], dtype=torch.float64)
        self.lr, self.kept = lr.to(parameters.dtype), None
        if decays is not None and rate.any():
            self.kept = (1 - rate * decays).to(parameters.dtype)
        self.mean, self.square = torch.zeros_like(parameters), torch.zeros_like(parameters)
        self.moved, self.steps = torch.empty_like(parameters), 0

    def step(self, gradient: torch.Tensor) -> None:
        """Update the parameters by a gradient (T, P)."""
        self.steps += 1
        first, second = self.betas
        rise, fall = 1 - first**self.steps, 1 - second**self.steps
        self.mean.lerp_(gradient, 1 - first)
        self.square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
        scale = torch.sqrt(self.square, out=self.moved).div_(math.sqrt(fall)).add_(self.eps)
        moved = torch.div(self.mean, scale, out=self.moved).mul_(self.lr / rise)
        if self.kept is not None:
            self.parameters.mul_(self.kept)
        self.parameters.sub_(moved)
