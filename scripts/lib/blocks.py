"""Units into jobs: blocks of one size, so that a longer list leaves full blocks alone."""

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def cut(items: Sequence[T], size: int) -> list[Sequence[T]]:
    """The items in their order, `size` to a block; the last block may be smaller."""
    return [items[start : start + size] for start in range(0, len(items), size)]
