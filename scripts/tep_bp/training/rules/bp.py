"""Ordinary backprop of a network with one hidden layer (spec 1.10)."""

import torch

from scripts.lib.timing import Phases
from scripts.tep_bp.training.dynamics import Activation, drive
from scripts.tep_bp.training.parameters import Parameters
from scripts.tep_bp.training.rules.head import head_gradient, probabilities, subtract_truth


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
    """Write the gradient of the mean cross-entropy to `found`; beta and solver are not read."""
    h = activation(drive(x, parameters.W_x, parameters.b))
    phases.lap("free")
    error = subtract_truth(probabilities(h, parameters), y)
    back = torch.bmm(error, parameters.W_o.mT).mul_(activation.slope(h)).div_(h.shape[1])
    phases.lap("nudged")
    found.W_x[:] = torch.bmm(x.mT, back)
    found.b[:] = back.sum(1, keepdim=True)
    head_gradient(h, error, found)
