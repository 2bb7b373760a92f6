"""Recurrent backprop: the exact gradient of the fixed point, by its adjoint (spec 1.10)."""

import torch

from scripts.lib.timing import Phases
from scripts.tep_bp.training.dynamics import Activation, drive, free_phase, iterate
from scripts.tep_bp.training.layout import like
from scripts.tep_bp.training.parameters import Parameters
from scripts.tep_bp.training.rules.head import head_gradient, probabilities, subtract_truth


def adjoint(
    driven: torch.Tensor,
    h: torch.Tensor,
    error: torch.Tensor,
    parameters: Parameters,
    activation: Activation,
    solver: dict,
) -> torch.Tensor:
    """lambda = (error W_o' + lambda W) * rho'(.) of each sample, iterated from 0, (T, n, d).

    The slope is that of the next image: the heavy ball leaves idle relu units at tiny values of
    either sign, which would not say that they are idle.
    """
    settled = torch.baddbmm(driven, h, parameters.W, out=like(h))
    slope = activation.slope(activation(settled))
    pushed = torch.bmm(error, parameters.W_o.mT)

    def image(state: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        return torch.baddbmm(pushed, state, parameters.W, out=out).mul_(slope)

    first = torch.mul(pushed, slope, out=like(h))
    return iterate(first, like(h).zero_(), image, solver["nudged"], solver)


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
    """Write the gradient of the mean cross-entropy to `found`; `beta` is not read."""
    driven = drive(x, parameters.W_x, parameters.b)
    h = free_phase(driven, parameters.W, activation, solver)
    phases.lap("free")
    error = subtract_truth(probabilities(h, parameters), y)
    found_back = adjoint(driven, h, error, parameters, activation, solver)
    phases.lap("nudged")
    n = h.shape[1]
    found.W_x[:] = torch.bmm(x.mT, found_back).div_(n)
    found.b[:] = found_back.sum(1, keepdim=True).div_(n)
    product = torch.bmm(h.mT, found_back)
    found.W[:] = product.add(product.mT).div_(2 * n)
    head_gradient(h, error, found)
