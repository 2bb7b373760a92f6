"""How a fault of the configuration is told: place, value, what is allowed, what was meant."""

import difflib
from collections.abc import Iterable
from typing import Any

import jsonschema

LONGEST = 80  # letters of a value that is repeated in a sentence
# Rules of JSON schema in words.
WANTED = {
    "minimum": "be at least {}",
    "maximum": "be at most {}",
    "exclusiveMinimum": "be greater than {}",
    "exclusiveMaximum": "be less than {}",
    "multipleOf": "be a multiple of {}",
    "minItems": "have at least {} entries",
    "maxItems": "have at most {} entries",
    "minProperties": "have at least {} entries",
    "minLength": "not be empty",
    "uniqueItems": "not repeat an entry",
}
# JSON schema's word for a type: ours.
TYPES = {"string": "text", "array": "list", "object": "mapping"}


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


def violation(error: jsonschema.ValidationError, at: str) -> str:
    """The sentence for a violation of a JSON schema; `at` is where the value sits."""
    where, rule, value = place(error.absolute_path, at), error.validator, error.instance
    if rule == "additionalProperties":
        known = list(error.schema.get("properties", {}))
        unknown = next(key for key in value if key not in known)
        where = place([*error.absolute_path, unknown], at)
        return f"Config: {where} is no key of this workflow{hint(unknown, known)}. {use(known)}"
    if rule == "required":
        missing = next(key for key in error.validator_value if key not in value)
        return f"Config: {place([*error.absolute_path, missing], at)} is missing."
    if rule == "enum":
        allowed = error.validator_value
        return f"Config: {where} is {told(value)}{hint(value, allowed)}. {use(allowed)}"
    if "propertyNames" in error.absolute_schema_path:
        return f"Config: {where} has the name {told(value)}; it must be made of {_made_of(error)}."
    return f"Config: {where} is {told(value)}; it must {_wanted(error)}{_reading(error)}."


def _wanted(error: jsonschema.ValidationError) -> str:
    if error.validator == "type":
        return f"be of type {_types(error.validator_value)}"
    if error.validator == "pattern":
        return f"be {_made_of(error)}"
    return WANTED[error.validator].format(error.validator_value)


def _made_of(error: jsonschema.ValidationError) -> str:
    """What a pattern says, in the words that stand beside it in the schema."""
    return error.schema.get("$comment", "other text")


def _types(wanted: str | list[str]) -> str:
    names = [wanted] if isinstance(wanted, str) else wanted
    return " or ".join(TYPES.get(name, name) for name in names)


def _reading(error: jsonschema.ValidationError) -> str:
    """What to write where YAML reads something else than its writer meant."""
    value = error.instance
    wanted = error.validator_value if error.validator == "type" else ""
    if wanted == "integer" and isinstance(value, float) and value.is_integer():
        return f": write {value:.0f}"
    if wanted in ("integer", "number") and isinstance(value, str):
        return _as_number(value, wanted)
    if "string" in wanted and isinstance(value, bool):
        return " (YAML reads on, off, yes and no as true and false): put it in quotes"
    if "string" in wanted and value is not None and not isinstance(value, dict | list):
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
