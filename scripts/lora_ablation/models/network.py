"""The classifier as one flat vector: Linear-BatchNorm-ReLU-Dropout x 3, Linear.

Order of the parameters: per hidden layer weight (H, inputs), bias, gamma, beta; then the output
weight (C, H) and bias. Of the buffers: per hidden layer running mean, running variance.
"""

import math
from dataclasses import dataclass

import torch

from scripts.lib.onednn import linear

HIDDEN_LAYERS = 3
BN_EPS, BN_MOMENTUM = 1e-5, 0.1  # PyTorch's defaults, which the original uses


@dataclass(frozen=True)
class Shape:
    """Widths of a classifier: inputs, hidden width, classes."""

    inputs: int
    hidden: int
    classes: int

    @property
    def parameters(self) -> list[tuple[int, ...]]:
        """Shapes of the parameters in their order."""
        shapes: list[tuple[int, ...]] = []
        for inputs in [self.inputs, self.hidden, self.hidden]:
            shapes += [(self.hidden, inputs), *[(self.hidden,)] * 3]
        return [*shapes, (self.classes, self.hidden), (self.classes,)]

    @property
    def size(self) -> int:
        """Number of parameters."""
        return sum(math.prod(shape) for shape in self.parameters)

    @property
    def stride(self) -> int:
        """Length of a run's row in a stack: whole 64-byte lines.

        BLAS kernels choose their order of summation by alignment, so rows of any other length
        would make a run's last bits depend on its place in the stack.
        """
        return -(-self.size // 16) * 16

    def views(self, flat: torch.Tensor) -> list[torch.Tensor]:
        """Views of each parameter in `flat`, (R, size or longer): (R, *parameter shape)."""
        views, start = [], 0
        for shape in self.parameters:
            stop = start + math.prod(shape)
            views.append(flat[:, start:stop].unflatten(1, shape))
            start = stop
        return views

    def buffers(
        self, runs: int, dtype: torch.dtype, device: torch.device | None = None
    ) -> torch.Tensor:
        """Fresh buffers (R, layers, 2, H): running means 0, running variances 1."""
        fresh = torch.zeros(runs, HIDDEN_LAYERS, 2, self.hidden, dtype=dtype, device=device)
        fresh[:, :, 1] = 1
        return fresh


def initial(
    shape: Shape, kept: torch.Tensor, rng: torch.Generator, dtype: torch.dtype
) -> torch.Tensor:
    """Flat initial parameters, PyTorch's defaults, for the inputs `kept` (bool) of a full network.

    Weights and biases are U(-1/sqrt(inputs), 1/sqrt(inputs)) with the full number of inputs and
    drawn for all of them, so that leaving out inputs changes none of the others.
    """
    full = Shape(len(kept), shape.hidden, shape.classes)
    parts, bound = [], 0.0
    for place, wanted in enumerate(full.parameters):
        role = place % 4
        if place < 4 * HIDDEN_LAYERS and role > 1:
            parts.append(torch.full(wanted, float(role == 2)))
            continue
        if len(wanted) == 2:
            bound = 1 / math.sqrt(wanted[1])
        drawn = torch.empty(wanted).uniform_(-bound, bound, generator=rng)
        parts.append(drawn[:, kept] if place == 0 else drawn)
    return torch.cat([part.flatten() for part in parts]).to(dtype)


def linears(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None
) -> torch.Tensor:
    """x weight' + bias of R networks: (R, B, K), (R, N, K), (R, N) -> (R, B, N).

    One network after the other, so that no network's bits depend on its company; on a GPU, where
    they do, all as one batch of products.
    """
    if x.device.type != "cpu":
        products = torch.bmm(x, weight.mT)
        return products if bias is None else products.add_(bias.unsqueeze(1))
    biases = [None] * len(x) if bias is None else bias
    products = [linear(*each) for each in zip(x, weight, biases, strict=True)]
    return torch.stack(products) if len(products) > 1 else products[0].unsqueeze(0)


def normalised(
    hidden: torch.Tensor, views: list[torch.Tensor], layer: int, buffers: torch.Tensor
) -> torch.Tensor:
    """Batch norm of (R, B, H) by the running statistics, as at evaluation."""
    _, _, gamma, beta = views[4 * layer : 4 * layer + 4]
    mean, var = buffers[:, layer, 0], buffers[:, layer, 1]
    scale = gamma / (var + BN_EPS).sqrt()
    return torch.addcmul((beta - mean * scale).unsqueeze(1), hidden, scale.unsqueeze(1))


def logits(x: torch.Tensor, views: list[torch.Tensor], buffers: torch.Tensor) -> torch.Tensor:
    """Evaluation: x (B, D) -> (R, B, C) of the R networks in `views`."""
    hidden = x.expand(views[0].shape[0], *x.shape)
    for layer in range(HIDDEN_LAYERS):
        weight, bias = views[4 * layer : 4 * layer + 2]
        hidden = linears(hidden, weight, bias)
        hidden = normalised(hidden, views, layer, buffers).relu_()
    return linears(hidden, views[-2], views[-1])
