"""The step after the gradient: Adam on stacked trials, and recurrent weights kept contracting."""

import torch

from scripts.tep_bp.options import Training
from scripts.tep_bp.plans.space import Trial


class Adam:
    """Bias-corrected Adam on parameters (T, P), in place; `train` has betas and adam_eps.

    Weight decay is decoupled: `decays` (T, P) is 1 where a parameter decays at its
    trial's rate, and 0 elsewhere; None for no decay at all.
    """

    def __init__(
        self,
        parameters: torch.Tensor,
        trials: list[Trial],
        train: Training,
        decays: torch.Tensor | None = None,
    ):
        self.parameters, self.betas, self.eps = parameters, train.betas, train.adam_eps
        told = [[[trial.lr] for trial in trials], [[trial.weight_decay] for trial in trials]]
        lr, decay = torch.tensor(told, dtype=torch.float64)
        rate = lr * decay
        self.lr, self.kept = lr.to(parameters), None
        if decays is not None and rate.any():
            self.kept = (1 - rate.to(parameters.device) * decays).to(parameters.dtype)
        self.mean, self.square = torch.zeros_like(parameters), torch.zeros_like(parameters)
        self.buffer = torch.empty_like(parameters)
        # A tensor, so that a graph of a step counts on.
        self.count = torch.zeros((), dtype=torch.float64, device=parameters.device)

    @property
    def steps(self) -> int:
        """Steps taken so far."""
        return int(self.count)

    def step(self, gradient: torch.Tensor) -> None:
        """Update the parameters by a gradient (T, P)."""
        self.count += 1
        first, second = self.betas
        rise, fall = 1 - first**self.count, 1 - second**self.count
        self.mean.lerp_(gradient, 1 - first)
        self.square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
        scale = torch.sqrt(self.square, out=self.buffer).div_(fall.sqrt()).add_(self.eps)
        step = torch.div(self.mean, scale, out=self.buffer).mul_(self.lr / rise)
        if self.kept is not None:
            self.parameters.mul_(self.kept)
        self.parameters.sub_(step)


def contract(w: torch.Tensor, u: torch.Tensor, cap: float, steps: int) -> None:
    """Symmetrise w (T, d, d) and cap its spectral norm, in place; u (T, d) persists.

    (docs/studies/tep_bp.md, Contraction.)

    The norm is that after `steps` power iterations from u, so it is slightly under-estimated.
    Products are multiplied and summed: a matrix-vector `bmm` rounds differently alone than in a
    stack.
    """
    w.add_(w.mT.clone()).mul_(0.5)
    for _ in range(steps):
        v = (w * u.unsqueeze(1)).sum(-1)
        norm = (v * v).sum(-1, keepdim=True).sqrt_()
        torch.div(v, norm, out=u)
    w.mul_((cap / norm).clamp_(max=1).unsqueeze(-1))
