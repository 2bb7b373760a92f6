"""The head: classes read from states, and its exact gradient."""

import torch

from scripts.tep_bp.training.layout import like
from scripts.tep_bp.training.parameters import Parameters


def probabilities(h: torch.Tensor, parameters: Parameters) -> torch.Tensor:
    """Softmax over the padded classes, (T, rows, C'); those that only pad have exactly 0."""
    return torch.softmax(logits(h, parameters), dim=-1)


def logits(h: torch.Tensor, parameters: Parameters) -> torch.Tensor:
    """Head at the states, (T, rows, C')."""
    room = like(h[:, :, :1].expand(-1, -1, parameters.W_o.shape[2]))
    return torch.baddbmm(parameters.b_o, h, parameters.W_o, out=room)


def subtract_truth(p: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """p - onehot(y) in place: the gradient of each sample's cross-entropy by its logits."""
    return p.scatter_add_(2, y.unsqueeze(2), p.new_full((1, 1, 1), -1.0).expand(*y.shape, 1))


def head_gradient(h: torch.Tensor, error: torch.Tensor, gradient: Parameters) -> None:
    """Write the gradient of the mean cross-entropy by W_o and b_o, exact at the states."""
    n = h.shape[1]
    gradient.W_o[:] = torch.bmm(h.mT, error).div_(n)
    gradient.b_o[:] = error.sum(1, keepdim=True).div_(n)
