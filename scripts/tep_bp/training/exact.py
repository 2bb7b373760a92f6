"""The exact gradient of a closed loop, by autograd through its unrolled iterations."""

import torch
import torch.nn.functional as F
from torch import Tensor

from scripts.tep_bp.training.reference.networks import ACTIVATIONS

NAMES = ("W_x", "b", "W", "W_o", "b_o")


def exact_gradient(
    parameters: dict[str, Tensor], x: Tensor, y: Tensor, activation: str, steps: int
) -> dict[str, Tensor]:
    """Gradients of the mean cross-entropy after `steps` plain iterations from 0 (spec 7.1).

    `parameters` has W_x (D, d), b (d,), W (d, d), W_o (d, C), b_o (C,) of one dtype, that of
    x (B, D); y (B,) int64. W enters as (W + W.T) / 2, so its gradient is symmetric.
    """
    leaves = [parameters[name].detach().clone().requires_grad_() for name in NAMES]
    with torch.enable_grad():
        w_x, b, w, w_o, b_o = leaves
        drive, loop, rho = x @ w_x + b, (w + w.T) / 2, ACTIVATIONS[activation]
        h = torch.zeros_like(drive)
        for _ in range(steps):
            h = rho(drive + h @ loop)
        cost = F.cross_entropy(h @ w_o + b_o, y)
        return dict(zip(NAMES, torch.autograd.grad(cost, leaves), strict=True))
