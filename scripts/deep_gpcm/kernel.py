"""Compile the memory kernel into Numba's cache, once for all jobs: a JSON file with `compile_s`.

The cache is the folder NUMBA_CACHE_DIR. A job that finds it empty compiles for itself.
"""

from pathlib import Path

import torch

from scripts.deep_gpcm.memory.fused import memory_read
from scripts.lib.compiled import compile_once
from scripts.lib.stage import arguments


def compile_kernel() -> None:
    """A first read with its gradient, float32."""
    rows, m0 = torch.rand(3, 2, 2).requires_grad_(), torch.rand(2, 2).requires_grad_()
    memory_read(*rows, m0, torch.tensor([2])).sum().backward()


if __name__ == "__main__":
    args = arguments(compiled=Path)
    compile_once(compile_kernel, args.compiled)
