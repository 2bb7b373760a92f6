"""How loops are compiled by Numba: wide vectors, floating-point liberties, a cache on disk.

A study's rule compiles its kernels once into a folder of results, which jobs name in the variable
NUMBA_CACHE_DIR and only read. It is found after a move of the project, and used by processors of
the same instructions. Without it Numba keeps what it compiles beside the code, or with the user.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path

import llvmlite.binding as llvm
import numba
from numba.core import caching

from scripts.lib.code import ROOT, stamps
from scripts.lib.files import replacing
from scripts.lib.provenance import instruction_set
from scripts.lib.spec import digest

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
    """A function that only compiled ones call: part of their code.

    Written into each of them. Else Numba has it twice, compiled by itself and with its caller, and
    runs the first in the process that compiled both, but the second, of other bits, from its cache.
    """
    return numba.njit(function, forceinline=True, **OPTIONS)


def entry(function: Callable) -> Callable:
    """The function compiled at its first call, and kept on disk where Numba can write."""
    try:
        return numba.njit(function, cache=True, **OPTIONS)
    except RuntimeError:  # no folder can be written: compile in every process
        return numba.njit(function, **OPTIONS)


class ByMeaning:
    """What is on disk is stale when the meaning of a function's module, or its imports, changed."""

    def get_source_stamp(self) -> str:
        if script := in_repository(self._py_file):
            return digest(stamps(script))
        return digest(Path(self._py_file).read_text(encoding="utf-8"))


class OfResults(ByMeaning, caching.UserProvidedCacheLocator):
    """The folder that `compile_once` made: by instructions and module, wherever the code is."""

    def __init__(self, function: Callable, file: str):
        super().__init__(function, file)
        module = (in_repository(file) or Path(file).name).removesuffix(".py").replace("/", ".")
        self._cache_path = str(cache_folder(Path(numba.config.CACHE_DIR)) / module)

    @classmethod
    def from_function(cls, function: Callable, file: str) -> caching._CacheLocator | None:
        made = numba.config.CACHE_DIR and cache_folder(Path(numba.config.CACHE_DIR)).is_dir()
        return cls(function, file) if made else None


class BesideCode(ByMeaning, caching.InTreeCacheLocator):
    pass


class OfUser(ByMeaning, caching.UserWideCacheLocator):
    pass


numba.config.CACHE_LOCATOR_CLASSES = ",".join(
    f"{cls.__module__}.{cls.__name__}" for cls in (OfResults, BesideCode, OfUser)
)


def in_repository(file: str) -> str | None:
    """A module's path from the repository's root; None if it lies elsewhere."""
    path = Path(file).resolve()
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else None


def cache_folder(folder: Path) -> Path:
    """Where the code for this processor is in a folder of compiled kernels."""
    return folder / instruction_set()


def compile_once(compile_all: Callable[[], None], folder: Path) -> None:
    """Make the folder of compiled kernels, and in compiled.json the wall seconds: {"compile_s": s}.

    `compile_all` imports the modules of the kernels itself: Numba asks for the folder as it does.
    """
    start = time.perf_counter()
    with replacing(folder) as temporary:
        cache_folder(temporary).mkdir(parents=True)
        numba.config.CACHE_DIR = str(temporary)
        compile_all()
        text = json.dumps({"compile_s": time.perf_counter() - start})
        (temporary / "compiled.json").write_text(text, encoding="utf-8")
