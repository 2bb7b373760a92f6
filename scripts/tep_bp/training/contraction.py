"""Recurrent weights kept symmetric and contracting."""

import torch


def contract(w: torch.Tensor, u: torch.Tensor, cap: float, steps: int) -> None:
    """Symmetrise w (T, d, d) and cap its spectral norm, in place; u (T, d) persists (spec 1.9).

    The norm is that after `steps` power iterations from u, so it is slightly under-estimated.
    Products are multiplied and summed: a matrix-vector `bmm` rounds differently alone than in a
    stack (spec 5.2).
    """
    w.add_(w.mT.clone()).mul_(0.5)
    for _ in range(steps):
        v = (w * u.unsqueeze(1)).sum(-1)
        norm = (v * v).sum(-1, keepdim=True).sqrt_()
        torch.div(v, norm, out=u)
    w.mul_((cap / norm).clamp_(max=1).unsqueeze(-1))
