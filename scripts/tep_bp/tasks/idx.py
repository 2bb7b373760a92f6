"""IDX, the format of MNIST: big-endian sizes, then bytes; plain or gzip."""

import gzip
import math
import struct
import zlib

import numpy as np

from scripts.lib.faults import LoadError, reason

GZIP, BYTES = b"\x1f\x8b", 0x08


def parse(content: bytes, dimensions: int, where: str) -> np.ndarray:
    """Bytes of the stated shape, uint8; LoadError unless they are IDX of so many dimensions."""
    if content.startswith(GZIP):
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise LoadError(f"{where}: cannot be unpacked ({reason(error)}).") from error
    magic, start = struct.pack(">HBB", 0, BYTES, dimensions), 4 + 4 * dimensions
    if not content.startswith(magic) or len(content) < start:
        raise LoadError(
            f"{where}: starts with {content[:4].hex() or 'nothing'}; expected {magic.hex()} "
            f"(IDX of bytes, {dimensions} sizes)."
        )
    shape = struct.unpack_from(f">{dimensions}I", content, 4)
    if math.prod(shape) != len(content) - start:
        raise LoadError(
            f"{where}: has {len(content) - start} bytes after its header; expected "
            f"{' x '.join(map(str, shape))}."
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
