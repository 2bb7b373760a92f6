"""The implementations of a module by name: functions that declare themselves.

An arm of the configuration names one. A job is stamped with those it may call and not with the
others (scripts/lib/code.py, `only`), so that an edit of one reruns the arms that use it.
"""

from collections import defaultdict
from collections.abc import Callable
from typing import TypeVar

F = TypeVar("F", bound=Callable)
_KNOWN: dict[str, dict[str, Callable]] = defaultdict(dict)


def implementation(function: F) -> F:
    """Declare a function of a module's top level as an implementation, by its name."""
    _KNOWN[function.__module__][function.__name__] = function
    return function


def implementations(module: str) -> dict[str, Callable]:
    """Those of an imported module, in its order."""
    return dict(_KNOWN[module])
