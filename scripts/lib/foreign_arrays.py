"""Arrays of .npy and .npz files, never unpickled, and no larger than their file can hold."""

import math
import zipfile
from collections import Counter
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

from scripts.lib.faults import LoadError
from scripts.lib.foreign import check_file, check_size, foreign

HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def mapped(path: Path) -> np.ndarray:
    """The array of an .npy file, memory-mapped and read-only; LoadError if it is none."""
    check_file(path, "an .npy file")
    with foreign(path, expected="an .npy file of numbers"):
        with path.open("rb") as file:
            _check_claim(file, path.stat().st_size, str(path))
        return npy.open_memmap(path, mode="r")


def arrays(path: Path, names: tuple[str, ...], optional: tuple[str, ...] = ()) -> dict:
    """The arrays of these names in an .npz file, and those of the `optional` ones that are there.

    Raises LoadError if the file cannot be read, lacks a name, or holds Python objects.
    """
    check_file(path, "an .npz file")
    with foreign(path), path.open("rb") as file:
        if not zipfile.is_zipfile(file):
            raise LoadError(f"{path}: is not an .npz file.")
        size = path.stat().st_size
        with zipfile.ZipFile(file) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            if missing := [name for name in names if name not in members]:
                raise LoadError(
                    f"{path}: has no array {missing[0]!r}; it has: {', '.join(members) or 'none'}."
                )
            _check_once(archive, path)
            wanted = [name for name in (*names, *optional) if name in members]
            return {name: _member(archive, members[name], size, path) for name in wanted}


def _check_once(archive: zipfile.ZipFile, path: Path) -> None:
    name, times = Counter(info.filename for info in archive.infolist()).most_common(1)[0]
    if times > 1:
        raise LoadError(f"{path}: has the array {name.removesuffix('.npy')!r} {times} times.")


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, size: int, path: Path) -> np.ndarray:
    where = f"{path}: array {info.filename.removesuffix('.npy')}"
    check_size(info.file_size, where, size if info.compress_type == zipfile.ZIP_STORED else None)
    with archive.open(info) as member:
        _check_claim(member, info.file_size, where, whole=True)
    with archive.open(info) as member:
        return npy.read_array(member, allow_pickle=False)


def _check_claim(file: IO[bytes], size: int, where: str, whole: bool = False) -> None:
    """LoadError if the header at the start of a file of `size` bytes states more than follows.

    `whole`: nor less, so that all is read and the archive's check sum is looked at.
    """
    version = npy.read_magic(file)
    if version not in HEADERS:
        raise LoadError(f"{where}: is of .npy version {version}; expected numbers, as in 1.0.")
    shape, _, dtype = HEADERS[version](file)
    if dtype.hasobject:
        raise LoadError(
            f"{where}: cannot be read (Object arrays cannot be loaded); expected numbers, or text "
            "saved with astype(str)."
        )
    claimed, there = math.prod(shape) * dtype.itemsize, size - file.tell()
    if min(shape, default=0) < 0 or claimed > there or (whole and claimed != there):
        raise LoadError(
            f"{where}: states the shape {shape} of {dtype}, which is {claimed} bytes, and "
            f"holds {there}; expected a whole file."
        )
