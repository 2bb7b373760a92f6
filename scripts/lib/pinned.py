"""Downloads that have to be the ones that were seen."""

import hashlib

from scripts.lib.faults import LoadError


class RegistryError(LoadError):
    """A package registry does not answer, or lacks the package."""


def check_pinned(content: bytes, expected: str, name: str) -> None:
    """LoadError unless the SHA-256 of a file is the expected one."""
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise LoadError(f"{name}: has the SHA-256 {found}; expected {expected}.")
