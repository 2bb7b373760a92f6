"""Files that users bring: opened here and nowhere else, so that a damaged one is one sentence.

No library lists what it raises at damaged bytes, and none checks what a file claims of its size
before it makes room for it. So whatever is raised becomes a LoadError, and claims are held against
the file, or against MOST, first. Nothing is ever unpickled.
"""

import codecs
import csv
import gzip
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from scripts.lib.faults import LoadError, reason
from scripts.lib.seals import checksum

MOST = 4 * 2**30  # bytes that a file, or what unfolds from a packed one, may take in memory
SMALL = 64 * 2**20  # bytes of files that are looked through at each start of Snakemake
CHUNK = 2**24  # bytes of text that are looked at at a time
GZIP = b"\x1f\x8b"
POINTER = b"version https://git-lfs.github.com/spec/"  # what a clone without git-lfs has of a file
OTHER_MARKS = ";\t|"  # with which other programs separate the columns of a table


@contextmanager
def foreign(where: str | Path, fault: str = "cannot be read", expected: str = "") -> Iterator[None]:
    """What a library raises inside is a LoadError: "where: fault (its reason); expected ...".

    Every Exception is taken, our own mistakes too: so only calls of libraries belong inside.
    """
    try:
        yield
    except LoadError:
        raise
    except Exception as error:
        wanted = f"; expected {expected}" if expected else ""
        raise LoadError(f"{where}: {fault} ({reason(error)}){wanted}.{_begins(error)}") from error


def _begins(error: Exception) -> str:
    """Where the relative path of a missing file begins, in a sentence."""
    name = error.filename if isinstance(error, FileNotFoundError) else None
    if not isinstance(name, str | Path) or Path(name).is_absolute():
        return ""
    return f" Relative paths begin in the working directory, {Path.cwd()}."


def check_file(path: str | Path, expected: str = "a file", fault: str = "cannot be read") -> None:
    """LoadError unless `path` is a regular file: a pipe never ends, a device has no size."""
    with foreign(path, fault, expected):
        Path(path).stat()  # its own message where nothing is there
        if not Path(path).is_file():
            raise ValueError("it is no file")
        with Path(path).open("rb") as file:
            pointer = file.read(len(POINTER)) == POINTER
    if pointer:
        raise LoadError(
            f"{path}: is a pointer of git-lfs, not the file; fetch it by: git lfs pull."
        )


def content(path: str | Path, expected: str = "a file", fault: str = "cannot be read") -> bytes:
    """All bytes of a file of at most MOST."""
    check_file(path, expected, fault)
    with foreign(path):
        check_size(Path(path).stat().st_size, path)
        return Path(path).read_bytes()


def text(path: str | Path, fault: str = "cannot be read", expected: str = "text in UTF-8") -> str:
    """A text file in UTF-8, with or without a byte order mark; line ends as they are."""
    try:
        return content(path, expected, fault).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _no_utf8(error, path, fault) from None


def check_utf8(path: str | Path, fault: str = "cannot be read") -> None:
    """LoadError that names the line unless all bytes of a file are UTF-8, wherever they stand."""
    check_file(path)
    decoder, lines = codecs.getincrementaldecoder("utf-8")(), 0
    with foreign(path, fault), Path(path).open("rb") as stream:
        while True:
            block = stream.read(CHUNK)
            try:
                decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                # Bytes that the decoder kept of the block before hold no line end.
                raise _no_utf8(error, path, fault, lines) from None
            if not block:
                return
            lines += block.count(b"\n")


def _no_utf8(error: UnicodeDecodeError, path: str | Path, fault: str, lines: int = 0) -> LoadError:
    """Which line of a file has which byte that is no UTF-8; `lines` end before what was decoded."""
    line = 1 + lines + error.object[: error.start].count(b"\n")
    byte = error.object[error.start]
    return LoadError(
        f"{path}: {fault} (line {line} has the byte 0x{byte:02x}, which is no UTF-8); "
        "save it as UTF-8."
    )


def parsed_json(words: str, where: str | Path, fault: str, expected: str) -> Any:
    """JSON of any depth that Python can hold; a key twice is refused, not the last one taken."""
    with foreign(where, fault, expected):
        return json.loads(words, object_pairs_hook=_once)


def _once(pairs: list[tuple[str, Any]]) -> dict:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} twice")
    return found


def csv_rows(path: str | Path, needed: Iterable[str], fault: str, expected: str) -> list[dict]:
    """Rows of a CSV file with these columns, all of equal length; a column twice is refused."""
    lines = text(path, fault, expected).splitlines(keepends=True)
    with foreign(path, fault, expected):
        reader = csv.DictReader(lines, strict=True)
        check_columns(reader.fieldnames or [], needed, str(path), expected)
        rows = []
        for row in reader:
            if None in row:
                raise ValueError(f"line {reader.line_num} has more fields than there are columns")
            rows.append(row)
    return rows


def mark_told(found: list[str]) -> str:
    """What to do about the one column of a table whose columns another mark than ours separates."""
    other = [mark for mark in OTHER_MARKS if len(found) == 1 and mark in found[0]]
    return f" (separate them by commas, not by {other[0]!r})" if other else ""


def check_columns(found: list[str], needed: Iterable[str], where: str, expected: str) -> None:
    """LoadError unless each needed column is there once: of two, readers take any."""
    for column in needed:
        if column not in found:
            remedy = mark_told(found)
            raise LoadError(f"{where}: has no column {column!r}; expected {expected}{remedy}.")
        if found.count(column) > 1:
            raise LoadError(
                f"{where}: has the column {column!r} {found.count(column)} times; expected it once."
            )


def check_size(claimed: int, where: str | Path, there: int | None = None) -> None:
    """LoadError if `claimed` bytes are more than are `there`, else more than MOST."""
    if claimed > (MOST if there is None else there):
        limit = f"at most {MOST} are read at once" if there is None else f"its file holds {there}"
        raise LoadError(f"{where}: states {claimed} bytes, and {limit}; expected a whole file.")


@contextmanager
def unpacked(path: str | Path) -> Iterator[IO[bytes]]:
    """A file as a stream, through gzip if it is packed; read no more of it than is expected."""
    check_file(path)
    with foreign(path), Path(path).open("rb") as file:
        packed = file.read(len(GZIP)) == GZIP
    fault, opened = ("cannot be unpacked", gzip.open) if packed else ("cannot be read", open)
    with foreign(path, fault), opened(path, "rb") as stream:
        yield stream


def marks(paths: Iterable[Path]) -> list[tuple[str, int, str | int]]:
    """What tells each file from an edited one: path, size, and the checksum of its bytes.

    If they are larger than SMALL together, the time of the last change stands for the checksum.
    LoadError if one of them is missing.
    """
    paths, sizes = list(paths), []
    for path in paths:
        with foreign(path):
            sizes.append(path.stat().st_size)
    small = sum(sizes) <= SMALL
    with foreign(", ".join(sorted({str(path.parent) for path in paths})[:1])):
        said = [checksum(path) if small else path.stat().st_mtime_ns for path in paths]
    return [(path.as_posix(), *told) for path, *told in zip(paths, sizes, said, strict=True)]
