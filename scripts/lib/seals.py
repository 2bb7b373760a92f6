"""Seals: which bytes a file has and what they were made from, beside it and checked by readers.

The seal of `runs.parquet` is `.runs.parquet.seal`: one JSON object with the fields of `Seal`. Any
format can be sealed, and the folders that users open keep their files only.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from xxhash import xxh3_128, xxh3_128_hexdigest

CHUNK = 1 << 20
# Snakemake puts it into folders that are outputs.
TIMESTAMP = ".snakemake_timestamp"


@dataclass(frozen=True)
class Seal:
    """`file`: its path below the results folder; `key`: of the job that made it; `bytes`: its size.

    `checksum` (XXH3, 128 bits) finds damage and mistaken files, not forgery.
    """

    file: str
    key: str
    bytes: int
    checksum: str


def seal_path(path: Path) -> Path:
    """Where the seal of a file or folder is."""
    return path.with_name(f".{path.name}.seal")


def parts(path: Path) -> list[Path]:
    """The file itself, or all files of a folder in a fixed order."""
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.rglob("*") if file.is_file() and file.name != TIMESTAMP)


def size(path: Path) -> int:
    """Bytes of a file or of all files of a folder."""
    return sum(file.stat().st_size for file in parts(path))


def checksum(path: Path) -> str:
    """Of a file's bytes; of a folder, of its files' names and bytes."""
    found = xxh3_128()
    for file in parts(path):
        if file != path:
            found.update(f"\0{file.relative_to(path).as_posix()}\0".encode())
        with file.open("rb") as opened:
            while chunk := opened.read(CHUNK):
                found.update(chunk)
    return found.hexdigest()


def sealed(path: Path, file: str, key: str) -> str:
    """The text of the seal of the file or folder that now is at `path`."""
    return json.dumps(asdict(Seal(file, key, size(path), checksum(path))))


def read_seal(path: Path) -> Seal | None:
    """The seal of a file; None where there is none that can be read."""
    try:
        return Seal(**json.loads(seal_path(path).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def fault(path: Path, file: str, key: str, largest: float = float("inf")) -> str | None:
    """What is wrong with a file, as the rest of a sentence; None if it is what it should be.

    `file` and `key` are those it should have. Bytes are compared up to a size of `largest`.
    """
    if not path.exists():
        return "is missing"
    seal = read_seal(path)
    if seal is None:
        return "was not written by this workflow (it has no seal)"
    if seal.file != file:
        return f"is a copy of {seal.file}"
    if seal.key != key:
        return "was made from other code, data or settings than the present ones"
    found = size(path)
    if found != seal.bytes:
        return f"is damaged: it has {found} bytes, {seal.bytes} were written"
    if found <= largest and checksum(path) != seal.checksum:
        return "is damaged: its bytes are not those that were written"
    return None


def with_checksum(content: bytes) -> bytes:
    """The content of a file that has no seal: below a line with its checksum."""
    return xxh3_128_hexdigest(content).encode() + b"\n" + content


def without_checksum(stored: bytes) -> bytes | None:
    """What `with_checksum` was given; None if it is damaged."""
    expected, _, content = stored.partition(b"\n")
    return content if xxh3_128_hexdigest(content).encode() == expected else None
