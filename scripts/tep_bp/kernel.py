"""Compile the fused trainer into Numba's cache, once for all jobs: a JSON file with `compile_s`.

The cache is the folder NUMBA_CACHE_DIR. A job that finds it empty compiles for itself.
"""

import json
import time
from pathlib import Path

from scripts.lib.files import replacing
from scripts.lib.stage import arguments
from scripts.tep_bp.training.fused.compile import compile_all

if __name__ == "__main__":
    args = arguments(compiled=Path)
    start = time.perf_counter()
    compile_all()
    text = json.dumps({"compile_s": time.perf_counter() - start})
    with replacing(args.compiled) as temporary:
        temporary.write_text(text, encoding="utf-8")
