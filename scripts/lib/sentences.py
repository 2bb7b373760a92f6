"""How a fault of the configuration is told: place, value, what is allowed, what was meant."""

import difflib
import re
from collections.abc import Iterable, Sequence
from typing import Any

from scripts.lib.typed import PATTERNS

LONGEST = 80  # letters of a value that is repeated in a sentence
# Pydantic's errors in words; {} is the bound.
WANTED = {
    "greater_than_equal": "be at least {}",
    "less_than_equal": "be at most {}",
    "greater_than": "be greater than {}",
    "less_than": "be less than {}",
    "multiple_of": "be a multiple of {}",
    "too_short": "have at least {} entries",
    "too_long": "have at most {} entries",
    "string_too_short": "not be empty",
    "repeated": "not repeat an entry",
    "order": "have numbers that rise",
}
BOUNDS = ("ge", "le", "gt", "lt", "multiple_of", "min_length", "max_length")
# Pydantic's error for a wrong type, or JSON schema's word for a type: ours.
TYPES = {
    "int_type": "integer",
    "float_type": "number",
    "bool_type": "boolean",
    "string_type": "text",
    "list_type": "list",
    "dict_type": "mapping",
    "model_type": "mapping",
    "model_attributes_type": "mapping",
}
WORDS = {"string": "text", "array": "list", "object": "mapping"}


def told(value: Any) -> str:
    """A value as its writer would know it; a long one by its kind and size."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, dict):
        return f"a mapping of {len(value)} keys"
    if isinstance(value, list):
        words = f"[{', '.join(told(part) for part in value[:LONGEST])}]"
        return words if len(words) <= LONGEST else f"a list of {len(value)} entries"
    words = repr(value) if isinstance(value, str | int | float) else f"{value} (no plain value)"
    return words if len(words) <= LONGEST else f"{words[:LONGEST]}..."


def place(parts: Iterable, at: str) -> str:
    """The dotted place of a value, e.g. "engression.sizes[1]"."""
    found = at
    for part in parts:
        found += f"[{part}]" if isinstance(part, int) else f".{part}"
    return found.lstrip(".") or "the top level"


def hint(value: Any, allowed: Iterable) -> str:
    """ " (did you mean ...?)" if one of the allowed values is close."""
    close = difflib.get_close_matches(str(value), [str(entry) for entry in allowed], n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def use(allowed: Iterable) -> str:
    """The allowed values as a sentence."""
    names = ", ".join(map(told_plainly, allowed))
    return f"Use one of: {names}." if names else "Nothing is possible here."


def told_plainly(value: Any) -> str:
    """A value in a list of allowed ones: text without quotes."""
    return value if isinstance(value, str) else told(value)


def violation(error: dict, section: Any, at: str) -> str:
    """The sentence for an error of pydantic in a section, which sits at `at`."""
    loc, key_is_wrong = error["loc"], error["loc"][-1:] == ("[key]",)
    path, kind = _path(loc[:-1] if key_is_wrong else loc, section, error["type"] == "missing")
    where, value, facts = place(path, at), error["input"], error.get("ctx") or {}
    if error["type"] in ("unknown", "renamed"):
        where = place([*path, facts["key"]], at)
        if error["type"] == "renamed":
            return f"Config: {where} has another name now: {_now(facts['now'], path, at)}."
        known = facts["known"]
        hinted = hint(facts["key"], known)
        return f"Config: {where} is no key of this workflow{hinted}. {use(known)}"
    if error["type"] == "union_tag_not_found":
        return f"Config: {where}.{facts['discriminator'].strip(chr(39))} is missing."
    if error["type"] == "missing":
        return f"Config: {where} is missing{f'; {kind} needs it' if kind else ''}."
    if allowed := _allowed(error["type"], facts):
        if error["type"] == "union_tag_invalid":
            key = facts["discriminator"].strip("'")
            where, value = f"{where}.{key}", value[key]
        return f"Config: {where} is {told(value)}{hint(value, allowed)}. {use(allowed)}"
    if key_is_wrong:
        made_of = PATTERNS[facts["pattern"]]
        where = place(path[:-1], at)
        return f"Config: {where} has the name {told(value)}; it must be made of {made_of}."
    wanted = _type(error["type"], facts)
    must = f"be of type {' or '.join(wanted)}" if wanted else _must(error["type"], facts)
    return f"Config: {where} is {told(value)}; it must {must}{_reading(value, wanted)}."


def _now(name: str, path: list, at: str) -> str:
    """Where a key is now: beside the old one, or with a leading / from the study's section on."""
    return place([name[1:]] if name.startswith("/") else [*path, name], at)


def _path(loc: Sequence, section: Any, missing: bool) -> tuple[list, str]:
    """The keys that lead to a value, and the kind of mapping it is in, where there are several.

    Pydantic's location names besides keys what it tried to read: the kind is one of these.
    """
    path, node, kind = [], section, ""
    for number, part in enumerate(loc):
        inside = part in node if isinstance(node, dict) else isinstance(node, list)
        if inside:
            node, kind = node[part], ""
            path.append(part)
        elif missing and number == len(loc) - 1:
            path.append(part)
        elif isinstance(node, dict):
            kind = part
    return path, kind


def _allowed(error: str, facts: dict) -> list[str]:
    """The values that are possible, where there is a list of them."""
    words = {"literal_error": "expected", "union_tag_invalid": "expected_tags"}
    text = facts.get(words.get(error, ""), "")
    quoted = re.findall(r"'([^']*)'", text)
    return quoted or [part for part in re.split(r", | or ", text) if part]


def _type(error: str, facts: dict) -> list[str]:
    """The types that are possible, if the value is of another one."""
    names = facts["wanted"] if error == "type" else [TYPES.get(error, "")]
    return [WORDS.get(name, name) for name in names if name]


def _must(error: str, facts: dict) -> str:
    if error == "string_pattern_mismatch":
        return f"be {PATTERNS[facts['pattern']]}"
    bound = next((facts[name] for name in BOUNDS if name in facts), "")
    bound = int(bound) if isinstance(bound, float) and bound.is_integer() else bound
    return WANTED[error].format(bound)


def _reading(value: Any, wanted: list[str]) -> str:
    """What to write where YAML reads something else than its writer meant."""
    if wanted == ["integer"] and isinstance(value, float) and value.is_integer():
        return f": write {value:.0f}"
    if wanted in (["integer"], ["number"]) and isinstance(value, str):
        return _as_number(value, wanted[0])
    if "text" in wanted and isinstance(value, bool):
        return " (YAML reads on, off, yes and no as true and false): put it in quotes"
    if "text" in wanted and value is not None and not isinstance(value, dict | list):
        return ": put it in quotes"
    return ""


def _as_number(text: str, wanted: str) -> str:
    try:
        number = float(text)
    except ValueError:
        return ""
    if wanted == "integer" and not number.is_integer():
        return ""
    if "e" in text.lower() and "." not in text and wanted == "number":
        mantissa, _, exponent = text.lower().partition("e")
        sign = "" if exponent[:1] in "+-" else "+"
        return f": write {mantissa}.0e{sign}{exponent} (YAML reads {text} as text)"
    return f": write {number:.0f} without quotes" if number.is_integer() else f": write {number}"
