"""Inputs of memory reads, the recurrence that they have to be, and their gradients."""

import numpy as np
import pytest
import torch

from scripts.deep_gpcm.models.choices import memory_of
from scripts.lib.packages import installed
from scripts.lib.torch_rng import torch_rng
from tests.gpcm_networks import DOUBLE, gap

# Its kernels, which Triton interprets here (tests/conftest.py).
TRITON = pytest.param(
    "triton",
    marks=pytest.mark.skipif(not installed("triton"), reason="no Triton here: make gpu"),
)


def rows(lengths, n=3, d=4, scale=1.0, dtype=DOUBLE, seed=0) -> list[torch.Tensor]:
    """w, e, a of all answers, and m0, in the ranges that the model gives them."""
    rng, s = torch_rng(seed, "rows"), sum(lengths)
    logits = [scale * torch.randn(s, size, generator=rng, dtype=dtype) for size in (n, d, d)]
    m0 = torch.randn(n, d, generator=rng, dtype=dtype)
    return [logits[0].softmax(1), logits[1].sigmoid(), logits[2].tanh(), m0]


def slow(w, e, a, m0, lengths) -> np.ndarray:
    """The recurrence, an answer, a slot and a cell at a time."""
    w, e, a, m0 = (x.numpy() for x in (w, e, a, m0))
    reads, row = np.zeros_like(a), 0
    for length in lengths:
        memory = m0.copy()
        for _ in range(length):
            for n in range(len(m0)):
                for d in range(m0.shape[1]):
                    reads[row, d] += w[row, n] * memory[n, d]
                    gate = 1 - w[row, n] * e[row, d]
                    memory[n, d] = memory[n, d] * gate + w[row, n] * a[row, d]
            row += 1
    return reads


def graded(memory: str, inputs: list, lengths, **options) -> tuple[torch.Tensor, list]:
    """Reads, and the gradient of a weighted sum of them for each input."""
    leaves = [x.clone().requires_grad_() for x in inputs]
    reads = memory_of(memory)(*leaves, torch.tensor(lengths), **options)
    weight = torch.randn(reads.shape, generator=torch_rng(7), dtype=DOUBLE).to(reads.dtype)
    found = torch.autograd.grad((reads * weight).sum(), leaves, allow_unused=True)
    zeros = [torch.zeros_like(x) for x in leaves]
    gradients = [z if g is None else g for g, z in zip(found, zeros, strict=True)]
    return reads.detach(), gradients


def apart(found: torch.Tensor, exact: torch.Tensor) -> float:
    """Largest difference in units of the largest exact value; infinite if one is not a number."""
    worst = gap(found.double(), exact) / float(exact.abs().max())
    return worst if found.isfinite().all() else np.inf
