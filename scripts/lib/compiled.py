"""How loops are compiled by Numba: wide vectors, floating-point liberties, a cache on disk.

A study's rule compiles its kernels once into a folder of results, which jobs name in the variable
NUMBA_CACHE_DIR and only read. It is found after a move of the project, and used by processors of
the same instructions. The first job on a processor of another kind, on a cluster, compiles them for
that kind, in a folder beside. Without a folder Numba keeps what it compiles beside the code, if it
can write. No two kinds ever write into one folder: Numba's indexes have no lock.
"""

import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Self

import llvmlite.binding as llvm
import numba
from numba.core.caching import FunctionCache

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


def formula(function: Callable) -> Callable:
    """A function of numbers, written into its callers: its sums keep the order that they have."""
    options = OPTIONS | {"fastmath": OPTIONS["fastmath"] - {"reassoc"}}
    return numba.njit(function, forceinline=True, **options)


def entry(function: Callable) -> Callable:
    """The function compiled at its first call, and kept on disk where Numba can write."""
    dispatcher = numba.njit(function, **OPTIONS)
    with suppress(RuntimeError):  # no folder can be written: compile in every process
        dispatcher._cache = Healing(function)
    return dispatcher


class Healing(FunctionCache):
    """What Numba keeps of a function; where it cannot be read it is compiled and kept anew."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """A compiled function, or None, at which Numba compiles."""
        try:
            return super().load_overload(sig, target_context)
        except Exception as error:  # damaged pickles raise almost any
            logging.info("%s cannot be read (%s): compiled again.", self.cache_path, error)
            with suppress(OSError):
                self.flush()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep a compiled function, unless what is there cannot be read nor replaced."""
        with suppress(Exception):  # damaged pickles raise almost any
            super().save_overload(sig, data)


NOTE = "compiled.json"
# Not empty while `compile_once` makes its folder, into which alone it is written.
COMPILING: list[Path] = []


class ByMeaning:
    """Where Numba keeps a function: it asks the class that CACHE_LOCATOR_CLASSES names.

    Each meaning of a module and its imports has a folder of its own, in the one that `compile_once`
    made, or else beside the code. So no index of older code is read, which may name types that are
    no more.
    """

    def __init__(self, function: Callable, meaning: str, folder: Path):
        self.line, self.meaning = function.__code__.co_firstlineno, meaning
        self.folder = folder / meaning

    @classmethod
    def from_function(cls, function: Callable, file: str) -> Self | None:
        """None where there is no place, and so no cache."""
        meaning, results = meaning_of(file), results_folder()
        if results and (COMPILING or (results / meaning).is_dir()):
            return cls(function, meaning, results)  # which jobs only read: it is sealed
        beside = cls(function, meaning, cache_folder(Path(file).parent / "__pycache__/numba"))
        try:
            beside.ensure_cache_path()
        except OSError:
            return None
        return beside

    def ensure_cache_path(self) -> None:
        """Raises OSError where nothing can be written."""
        self.folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=self.folder).close()

    def get_cache_path(self) -> str:
        return str(self.folder)

    def get_source_stamp(self) -> str:
        return self.meaning

    def get_disambiguator(self) -> str:
        return str(self.line)


numba.config.CACHE_LOCATOR_CLASSES = f"{__name__}.{ByMeaning.__name__}"


def meaning_of(file: str) -> str:
    """Digest of the code of a module and of its imports from this repository."""
    path = Path(file).resolve()
    if path.is_relative_to(ROOT):
        return digest(stamps(path.relative_to(ROOT).as_posix()))
    return digest(path.read_text(encoding="utf-8"))


def results_folder() -> Path | None:
    """What `compile_once` made for this processor where NUMBA_CACHE_DIR says; None if nothing."""
    if not numba.config.CACHE_DIR:
        return None
    folder = Path(numba.config.CACHE_DIR)
    own = cache_folder(folder)
    return own if own.is_dir() else compiled_elsewhere(folder)


@cache
def compiled_elsewhere(folder: Path) -> Path | None:
    """Kernels that were compiled on a processor of another kind, for this one; None without any.

    Compiled by whoever needs them first, in a process of its own and a folder of its own that is
    moved into its place when it is whole.
    """
    said = folder / NOTE
    script = json.loads(said.read_bytes()).get("script") if said.is_file() else None
    if not script:
        return None
    beside = folder.resolve().with_name(f"{folder.name}_other")
    place = cache_folder(beside / digest(said.read_text()))
    if not place.is_dir():
        logging.info("%s is of another kind of processor: compiled once more.", folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent) as parent:
            made = Path(parent, "numba")
            job = json.dumps({"output": {"compiled": str(made)}})
            subprocess.run([sys.executable, "-m", script, job], cwd=ROOT, check=True)
            try:
                os.replace(cache_folder(made), place)
            except OSError:  # another job was faster
                if not place.is_dir():
                    raise
    return place


def cache_folder(folder: Path) -> Path:
    """Where the code for this processor is in a folder of compiled kernels."""
    return folder / instruction_set()


def compile_once(compile_all: Callable[[], None], folder: Path) -> None:
    """Make the folder of compiled kernels, with compiled.json: `compile_s`, wall seconds, `script`.

    `compile_all` imports the modules of the kernels itself: Numba asks for the folder as it does.
    """
    start = time.perf_counter()
    with replacing(folder) as temporary:
        cache_folder(temporary).mkdir(parents=True)
        numba.config.CACHE_DIR = str(temporary)
        COMPILING.append(temporary)
        compile_all()
        COMPILING.clear()
        note = {"compile_s": time.perf_counter() - start, "script": running_script()}
        (temporary / NOTE).write_text(json.dumps(note), encoding="utf-8")


def running_script() -> str | None:
    """Our module that Python runs, e.g. "scripts.tep_bp.kernel"; None if it is none of ours."""
    spec = sys.modules["__main__"].__spec__
    return spec.name if spec and spec.name.startswith("scripts.") else None
