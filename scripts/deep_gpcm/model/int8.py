"""A product in 8-bit integers, for the heads at inference."""

import torch


def int8_linear(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """x (S, I) times weight (O, I) transposed, in int8 with int32 sums; float32 (S, O).

    Symmetric: weights are scaled by row, x by its largest entry. Departs: PyTorch's dynamic
    quantisation is deprecated; this is its arithmetic.
    """
    row, scale = (largest(part, dim) / 127 for part, dim in ((weight, 1), (x, None)))
    small = (weight / row.unsqueeze(1)).round().to(torch.int8)
    sums = torch._int_mm((x / scale).round().to(torch.int8), small.T.contiguous())
    return sums.float() * (scale * row)


def largest(x: torch.Tensor, dim: int | None) -> torch.Tensor:
    """Largest absolute value, along a dimension or of all; 1 where all are zero."""
    found = x.abs().amax() if dim is None else x.abs().amax(dim)
    return torch.where(found > 0, found, 1)
