"""Compile the memory kernel into Numba's cache, once for all jobs: a JSON file with `compile_s`.

The cache is the folder NUMBA_CACHE_DIR. A job that finds it empty compiles for itself.
"""

import json
import time
from pathlib import Path

import torch

from scripts.deep_gpcm.memory.fused import memory_read
from scripts.lib.files import replacing
from scripts.lib.stage import arguments


def compile_kernel() -> float:
    """Wall seconds of a first read with its gradient, float32."""
    rows, m0 = torch.rand(3, 2, 2).requires_grad_(), torch.rand(2, 2).requires_grad_()
    start = time.perf_counter()
    memory_read(*rows, m0, torch.tensor([2])).sum().backward()
    return time.perf_counter() - start


if __name__ == "__main__":
    args = arguments(compiled=Path)
    text = json.dumps({"compile_s": compile_kernel()})
    with replacing(args.compiled) as temporary:
        temporary.write_text(text, encoding="utf-8")
