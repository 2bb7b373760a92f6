"""The optimizer's step by name: PyTorch's Adam as the source calls it, and its fused kernel."""

from collections.abc import Callable

import torch
from torch.optim.adam import adam

Step = Callable[[float], None]


def module_step(parameters: list[torch.Tensor], train: dict) -> Step:
    """`step(lr)` by `torch.optim.Adam` or `AdamW`."""
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[train["optimizer"]]
    optimizer = kind(
        parameters,
        lr=train["lr"],
        betas=tuple(train["betas"]),
        eps=train["adam_eps"],
        weight_decay=train["weight_decay"],
    )

    def step(lr: float) -> None:
        for group in optimizer.param_groups:
            group["lr"] = lr
        optimizer.step()

    return step


def fused_step(parameters: list[torch.Tensor], train: dict) -> Step:
    """The same update in one pass over each parameter.

    The functional form spares the import of torch._dynamo that the optimizer's class costs.
    """
    first, second = ([torch.zeros_like(p) for p in parameters] for _ in range(2))
    counts = [torch.tensor(0.0) for _ in parameters]
    options = {
        "beta1": train["betas"][0],
        "beta2": train["betas"][1],
        "eps": train["adam_eps"],
        "weight_decay": train["weight_decay"],
        "decoupled_weight_decay": train["optimizer"] == "adamw",
        "amsgrad": False,
        "maximize": False,
        "foreach": False,
        "fused": True,
    }

    def step(lr: float) -> None:
        with torch.no_grad():
            gradients = [p.grad for p in parameters]
            adam(parameters, gradients, first, second, [], counts, lr=lr, **options)

    return step


STEPS = {"module": module_step, "fused": fused_step}
