"""IDX, the format of MNIST: big-endian sizes, then bytes; plain or gzip."""

import math
import struct
from typing import IO

import numpy as np

from scripts.lib.faults import LoadError
from scripts.lib.foreign import check_size

BYTES = 0x08


def parse(stream: IO[bytes], dimensions: int, where: str) -> np.ndarray:
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
