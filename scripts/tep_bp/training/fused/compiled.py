"""How the loops of the trainer are compiled, and when a compiled one is out of date."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import llvmlite.binding as llvm
import numba

# Sums may be reassociated, products and sums contracted; a NaN stays a NaN.
OPTIONS = {"fastmath": {"contract", "reassoc", "nsz"}, "nogil": True, "error_model": "numpy"}


def wide_vectors() -> str | None:
    """Features of this processor with vectors as wide as it has; None where LLVM may choose.

    LLVM halves vectors on CPUs that slow down at wide ones.
    """
    try:
        features = llvm.get_host_cpu_features()
    except RuntimeError:  # not known on every platform
        return None
    return features.flatten() + ",-prefer-256-bit" if features.get("avx512f") else None


def sources(package: Path) -> str:
    """Digest of its modules: Numba by itself would miss the edit of a function that is called."""
    content = hashlib.sha256()
    for path in sorted(package.glob("*.py")):
        content.update(path.read_bytes())
    return content.hexdigest()


# What the user set by NUMBA_CPU_FEATURES stays.
numba.config.CPU_FEATURES = numba.config.CPU_FEATURES or wide_vectors()
SOURCES = sources(Path(__file__).parent)


def inner(function: Callable) -> Callable:
    """A function that only compiled ones call: part of their code."""
    return numba.njit(function, **OPTIONS)


def entry(function: Callable) -> Callable:
    """The function compiled at its first call, and kept on disk where Numba can write."""
    try:
        dispatcher = numba.njit(function, cache=True, **OPTIONS)
    except RuntimeError:  # neither NUMBA_CACHE_DIR nor checkout nor home: compile in every process
        return numba.njit(function, **OPTIONS)
    dispatcher._cache._cache_file._source_stamp = SOURCES
    return dispatcher
