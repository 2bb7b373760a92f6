"""Products of float32 matrices by oneDNN, which compiles kernels for the processor at hand.

PyTorch multiplies float32 by MKL, which leaves AVX-512 unused on processors that are not
Intel's.
"""

import torch


def linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """x weight' + bias for x (B, K), weight (N, K) and bias (N,), of any strides: a new (B, N).

    Other types than float32, and builds of PyTorch without oneDNN, multiply as PyTorch does.
    """
    if x.dtype != torch.float32 or _POINTWISE is None:
        return torch.nn.functional.linear(x, weight, bias)
    return _POINTWISE(x, weight, bias, "none", [], "")


def _pointwise():
    """oneDNN's product with an activation behind it, here none; None where there is none."""
    if not torch.backends.mkldnn.is_available():
        return None
    return getattr(torch.ops.mkldnn, "_linear_pointwise", None)


_POINTWISE = _pointwise()
