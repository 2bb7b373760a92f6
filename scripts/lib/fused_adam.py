"""PyTorch's fused Adam as a function of its state."""

from collections.abc import Sequence

import torch
from torch.optim.adam import adam


def fused_adam(
    parameters: list[torch.Tensor],
    gradients: list[torch.Tensor],
    moments: tuple[list[torch.Tensor], list[torch.Tensor]],
    counts: list[torch.Tensor],
    lr: float,
    betas: Sequence[float],
    eps: float,
    weight_decay: float = 0.0,
    decoupled: bool = False,
) -> None:
    """Update parameters, first and second moments and step counts in place, without autograd.

    The functional form spares the import of torch._dynamo that
    `torch.optim.Adam` costs.
    """
    adam(
        parameters,
        gradients,
        *moments,
        [],
        counts,
        lr=lr,
        beta1=betas[0],
        beta2=betas[1],
        eps=eps,
        weight_decay=weight_decay,
        decoupled_weight_decay=decoupled,
        amsgrad=False,
        maximize=False,
        foreach=False,
        fused=True,
    )
