"""An overlay needs only what it changes: shipped values give way to what it takes away.

A shipped value may limit another one: these representations of those that are studied, so many of
all trials. Where an overlay leaves less than that, what it does not name itself is fitted to it,
and said; what it names is checked as it stands. Without an overlay nothing is fitted, and a value
that would pass every check is never changed.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from scripts.lib.sentences import told

Values = dict[str, Any]  # a section, or a mapping in it, as YAML has it
Place = tuple[str, ...]
Changes = dict[Place, Any]  # new values by place
TOLD = 4  # places of one value in a sentence
# Keys whose 0 switches off what they stand in, so that nothing of it has to fit.
SWITCHES = ("reps", "runs", "folds", "trials", "rounds")


@dataclass(frozen=True)
class Limit:
    """Shipped values at `places` are of what `whole(section)` says: entries, or at most a number.

    `places`: keys with dots, `*` for any name. `whole` gives None where nothing limits. A list
    keeps what is left of it, a single value becomes the first one. Where nothing is left, a list
    becomes as many of the first ones; or, if `off` is {key: value}, the keys beside it are set.
    """

    places: str
    whole: Callable[[Values], Any]
    off: Values | None = None


def at(*keys: str) -> Callable[[Values], Any]:
    """What stands at these keys of a section."""

    def whole(section: Values) -> Any:
        for key in keys:
            section = section[key]
        return section

    return whole


def fitted(section: Values, overlay: Any, limits: Iterable[Limit]) -> tuple[Values, Changes]:
    """A section that an overlay has changed, with its limits fitted; and what was changed.

    What is not of the expected form is left to the checks that follow.
    """
    if not isinstance(section, dict) or not isinstance(overlay, dict) or not overlay:
        return section, {}
    section, changed = deepcopy(section), {}  # aliases of YAML name one mapping twice
    for limit in limits:
        with suppress(KeyError, TypeError, ValueError, AttributeError):
            if (whole := limit.whole(section)) is None:
                continue
            for place in _places(section, limit.places.split(".")):
                if not _names(overlay, place):
                    changed |= _fit(section, overlay, place, whole, limit.off)
    return section, changed


def sentence(study: str, changed: Changes) -> str:
    """What was fitted, for the log: each value once, with the places that have it now."""
    alike: dict[str, list[str]] = {}
    for (*path, key), value in changed.items():
        alike.setdefault(f"{key} {told(value)}", []).append(".".join(path) or study)
    said = [f"{value} in {_some(places)}" for value, places in alike.items()]
    return f"{study}: fitted to the overlay, which does not name them: {'; '.join(said)}."


def _some(places: list[str]) -> str:
    rest = len(places) - TOLD
    return ", ".join(places[:TOLD]) + (f" and {rest} more" if rest > 0 else "")


def _places(node: Any, keys: list[str], above: Place = ()) -> Iterator[Place]:
    """Places of a section that keys with `*` mean."""
    if not keys:
        yield above
        return
    for key in (list(node) if keys[0] == "*" else keys[:1]) if isinstance(node, dict) else ():
        if key in node:
            yield from _places(node[key], keys[1:], (*above, key))


def _names(overlay: Any, place: Place) -> bool:
    """Whether an overlay says itself what stands at a place."""
    for key in place:
        if not isinstance(overlay, dict) or key not in overlay:
            return False
        overlay = overlay[key]
    return True


def _fit(section: Values, overlay: Any, place: Place, whole: Any, off: Values | None) -> Changes:
    """Fit the value at a place, if it has to be; what was changed."""
    *path, key = place
    node = section
    for name in path:
        node[name] = dict(node[name])
        node = node[name]
    value = node[key]
    if value is None or any(node.get(name) == 0 for name in SWITCHES):
        return {}
    if whole == [] and off is None:
        return {}  # which nothing fits: the checks say what is wrong with it
    if isinstance(whole, int):
        changes = {key: min(value, whole)}
    elif isinstance(value, list):
        left = [entry for entry in value if entry in whole]
        changes = {key: left or list(whole)[: len(value)]} if left or off is None else off
    elif value in whole:
        return {}
    else:
        changes = {key: next(iter(whole))} if off is None else off
    changes = {k: v for k, v in changes.items() if not _names(overlay, (*path, k))}
    changes = {k: v for k, v in changes.items() if k not in node or node[k] != v}
    node.update(changes)
    return {(*path, k): v for k, v in changes.items()}
