"""Files that are whole or absent, after a power loss too: written beside their place, renamed."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.lib.job import JOB
from scripts.lib.seals import parts, seal_path


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` if the block succeeds.

    The block may make a file or a folder. The temporary name is unique, so an orphaned job cannot
    write into this one's file. What the running job is to make gets its seal.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        seal = JOB.seal_of(path, temporary)
        _rename(temporary, path)
        if seal:
            temporary.write_text(seal, encoding="utf-8")
            _rename(temporary, seal_path(path))
        _sync(path.parent)
    finally:
        remove(temporary)


def remove(path: Path) -> None:
    """Delete a file or a folder with all in it, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _rename(temporary: Path, path: Path) -> None:
    """The name appears only once the bytes are on the disk."""
    for file in parts(temporary):
        _sync(file)
    if temporary.is_dir():
        remove(path)  # a folder replaces an empty one only
    os.replace(temporary, path)


def _sync(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
