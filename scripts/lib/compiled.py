"""How loops are compiled by Numba: wide vectors, floating-point liberties, a cache on disk."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import llvmlite.binding as llvm
import numba

from scripts.lib.files import replacing

# Sums may be reassociated, products and sums contracted, the sign of zero lost; a NaN stays a NaN.
OPTIONS = {"fastmath": {"contract", "reassoc", "nsz"}, "nogil": True, "error_model": "numpy"}


def wide_vectors() -> str | None:
    """Features of this processor with vectors as wide as it has; None where LLVM may choose.

    LLVM halves vectors on CPUs that slow down at wide ones; our kernels are a fifth faster on them.
    """
    try:
        features = llvm.get_host_cpu_features()
    except RuntimeError:  # not known on every platform
        return None
    return features.flatten() + ",-prefer-256-bit" if features.get("avx512f") else None


# What the user set by NUMBA_CPU_FEATURES stays.
numba.config.CPU_FEATURES = numba.config.CPU_FEATURES or wide_vectors()


def inner(function: Callable) -> Callable:
    """A function that only compiled ones call: part of their code."""
    return numba.njit(function, **OPTIONS)


def entry(function: Callable, sources: str | None = None) -> Callable:
    """The function compiled at its first call, and kept on disk where Numba can write.

    Numba compiles again when the function's own file has changed; `sources`, a digest of all files
    whose functions it calls, takes that file's place.
    """
    try:
        dispatcher = numba.njit(function, cache=True, **OPTIONS)
    except RuntimeError:  # neither NUMBA_CACHE_DIR nor checkout nor home: compile in every process
        return numba.njit(function, **OPTIONS)
    if sources:
        dispatcher._cache._cache_file._source_stamp = sources
    return dispatcher


def compile_once(compile_all: Callable[[], None], path: Path) -> None:
    """Fill Numba's cache for all jobs, and write the wall seconds that took: {"compile_s": s}."""
    start = time.perf_counter()
    compile_all()
    text = json.dumps({"compile_s": time.perf_counter() - start})
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
