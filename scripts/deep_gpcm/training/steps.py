"""The optimizer's step by name: PyTorch's Adam as the source calls it, and its fused kernel."""

from collections.abc import Callable

import torch

from scripts.lib.fused_adam import fused_adam

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
    """The same update in one pass over each parameter."""
    moments = tuple([torch.zeros_like(p) for p in parameters] for _ in range(2))
    counts = [torch.tensor(0.0) for _ in parameters]
    decay = (train["weight_decay"], train["optimizer"] == "adamw")

    def step(lr: float) -> None:
        with torch.no_grad():
            fused_adam(parameters, [p.grad for p in parameters], moments, counts, lr, train, *decay)

    return step


STEPS = {"module": module_step, "fused": fused_step}
