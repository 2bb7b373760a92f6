"""Compile the fused trainer into Numba's cache, once for all jobs: a JSON file with `compile_s`.

The cache is the folder NUMBA_CACHE_DIR. A job that finds it empty compiles for itself.
"""

from pathlib import Path

from scripts.lib.compiled import compile_once
from scripts.lib.stage import arguments
from scripts.tep_bp.training.fused.compile import compile_all

if __name__ == "__main__":
    args = arguments(compiled=Path)
    compile_once(compile_all, args.compiled)
