"""Equilibrium propagation: two nudged fixed points say which way the free one should move."""

import torch

from scripts.lib.timing import Phases
from scripts.tep_bp.training.dynamics import Activation, drive, free_phase, iterate
from scripts.tep_bp.training.layout import like, rows
from scripts.tep_bp.training.parameters import Parameters
from scripts.tep_bp.training.rules.head import (
    head_gradient,
    logits,
    probabilities,
    subtract_truth,
)


def nudged_states(
    h: torch.Tensor,
    error: torch.Tensor,
    driven: torch.Tensor,
    y: torch.Tensor,
    parameters: Parameters,
    activation: Activation,
    beta: torch.Tensor,
    solver: dict,
) -> torch.Tensor:
    """States nudged towards the truth, then those nudged away from it, as rows (T, 2 n, d).

    h (T, n, d) is the free state, error (T, n, C') its p - onehot, beta (T, 1, 1). The nudge is
    that of each sample by itself, in closed form (spec 1.9); both phases start at h.
    """
    n, (w, w_o) = h.shape[1], (parameters.W, parameters.W_o)
    back = (w_o * beta).mT
    sign = torch.ones(2 * n, 1, dtype=h.dtype)
    sign[:n] = -1
    # The first images share a product and need no new probabilities.
    still, pushed = torch.baddbmm(driven, h, w, out=like(h)), torch.bmm(error, back)
    first = rows(len(h), 2 * n, h.shape[2], h.dtype)
    torch.sub(still, pushed, out=first[:, :n])
    torch.add(still, pushed, out=first[:, n:])
    start, both = like(first), like(first)
    for part in (slice(None, n), slice(n, None)):
        start[:, part], both[:, part] = h, driven
    truth = torch.cat([y, y], dim=1)

    def image(state: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        e = subtract_truth(torch.softmax(logits(state, parameters), dim=-1), truth).mul_(sign)
        torch.baddbmm(both, e, back, out=out)
        return activation(out.baddbmm_(state, w))

    return iterate(activation(first), start, image, solver["nudged"], solver)


def gradient(
    x: torch.Tensor,
    y: torch.Tensor,
    parameters: Parameters,
    activation: Activation,
    beta: torch.Tensor,
    solver: dict,
    found: Parameters,
    phases: Phases,
) -> None:
    """Write the centred estimate of the mean cross-entropy's gradient to `found` (spec 1.9)."""
    driven = drive(x, parameters.W_x, parameters.b)
    h = free_phase(driven, parameters.W, activation, solver)
    phases.lap("free")
    error = subtract_truth(probabilities(h, parameters), y)
    states = nudged_states(h, error, driven, y, parameters, activation, beta, solver)
    phases.lap("nudged")
    n = h.shape[1]
    towards, away = states[:, :n], states[:, n:]
    scale = -1 / (2 * n * beta)
    moved = torch.sub(towards, away, out=like(h))
    centre = torch.add(towards, away, out=like(h)).mul_(0.5)
    found.W_x[:] = torch.bmm(x.mT, moved).mul_(scale)
    found.b[:] = moved.sum(1, keepdim=True).mul_(scale)
    # h+' h+ - h-' h- is the symmetric part of (h+ + h-)' (h+ - h-): no difference of large sums.
    product = torch.bmm(centre.mT, moved)
    found.W[:] = product.add(product.mT).mul_(scale * 0.5)
    head_gradient(h, error, found)
