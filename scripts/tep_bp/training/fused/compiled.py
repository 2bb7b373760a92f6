"""Functions of this package, compiled; what is on disk is stale when any module of it changed."""

import hashlib
from collections.abc import Callable
from pathlib import Path

from scripts.lib import compiled


def sources(package: Path) -> str:
    """Digest of a package's modules."""
    content = hashlib.sha256()
    for path in sorted(package.glob("*.py")):
        content.update(path.read_bytes())
    return content.hexdigest()


SOURCES = sources(Path(__file__).parent)
inner = compiled.inner


def entry(function: Callable) -> Callable:
    """A function that Python calls."""
    return compiled.entry(function, SOURCES)
