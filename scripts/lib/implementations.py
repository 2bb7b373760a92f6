"""The implementations of a module by name: functions that declare themselves.

An arm of the configuration names one. A job is stamped with those it may call and not with the
others (scripts/lib/code.py, `only`), so that an edit of one reruns the arms that use it.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable)
_KNOWN: dict[str, dict[str, Callable]] = defaultdict(dict)


def implementation(
    function: F | None = None,
    *,
    devices: Sequence[str] = ("cpu",),
    stack: Callable[[Any], Hashable] | None = None,
) -> Any:
    """Declare a function of a module's top level as an implementation, by its name.

    `@implementation`, or with what is said of it: `devices` that it can compute on, cpu and cuda,
    written out, because they are read from the source (it finds its own as `device` of its unit or
    job); `stack`: it takes a list of units at once, for which this function of a unit is equal, and
    returns their answers in their order. An answer may be the Failed that the unit alone would have
    raised.
    """

    def declare(function: F) -> F:
        function.stack = stack
        _KNOWN[function.__module__][function.__name__] = function
        return function

    return declare(function) if function else declare


def implementations(module: str) -> dict[str, Callable]:
    """Those of an imported module, in its order."""
    return dict(_KNOWN[module])


def stack_of(function: Callable) -> Callable[[Any], Hashable] | None:
    """What units that an implementation takes together have in common; None: one at a time."""
    return getattr(function, "stack", None)
