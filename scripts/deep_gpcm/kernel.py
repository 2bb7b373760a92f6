"""Compile the memory kernel once for all jobs: a folder for Numba (scripts/lib/compiled.py)."""

from pathlib import Path

import torch

from scripts.lib.compiled import compile_once
from scripts.lib.stage import stage


def compile_kernel() -> None:
    """A first read with its gradient, float32."""
    from scripts.deep_gpcm.models.memory.fused import memory_read

    rows, m0 = torch.rand(3, 2, 2).requires_grad_(), torch.rand(2, 2).requires_grad_()
    memory_read(*rows, m0, torch.tensor([2])).sum().backward()


def main(compiled: Path) -> None:
    compile_once(compile_kernel, compiled)


if __name__ == "__main__":
    stage(main)
