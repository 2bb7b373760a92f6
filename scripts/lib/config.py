"""Configuration checks that end in one sentence: what is wrong, where, and what is allowed."""

import difflib
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jsonschema
import yaml
from referencing import Registry, Resource

ROOT_SECTIONS = ("studies", "seed", "pathvars")
# The compiled parser where PyYAML has it: every call of Snakemake reads the schemas.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class ConfigError(ValueError):
    """The configuration asks for something the workflow cannot do."""


def check_config(config: Any, schema: str | Path, at: str = "") -> None:
    """Raise ConfigError with one sentence for the first violation of the JSON schema.

    `at` is where `config` sits in the whole configuration ("engression"). A `$ref` may name
    another schema file of the same folder.
    """
    folder = Path(schema).parent
    registry = Registry(retrieve=lambda name: Resource.from_contents(_read(folder / name)))
    validator = jsonschema.Draft202012Validator(_read(Path(schema)), registry=registry)
    _check_finite(config, at)
    errors = validator.iter_errors(config)
    for error in sorted(errors, key=lambda error: [str(part) for part in error.absolute_path]):
        raise ConfigError(_sentence(error, at))


def _check_finite(value: Any, where: str) -> None:
    """No bound of a schema stops a NaN."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"Config: {where} is {value}; it must be a finite number.")
    parts = enumerate(value) if isinstance(value, list) else getattr(value, "items", list)()
    for key, part in parts:
        _check_finite(part, _place([key], where))


def _read(path: Path) -> dict:
    return yaml.load(path.read_text(encoding="utf-8"), Loader=LOADER)


def check_member(value: str, allowed: Iterable[str], where: str) -> None:
    """Raise ConfigError unless `value` is one of `allowed`."""
    allowed = list(allowed)
    if value not in allowed:
        raise ConfigError(f"Config: {where} is {value!r}{_hint(value, allowed)}. {_use(allowed)}")


def check_keys(entry: dict, kinds: dict[str, tuple], where: str) -> None:
    """Raise ConfigError unless an entry has the keys of its kind: (needed, possible) by kind."""
    needed, possible = kinds[entry["kind"]]
    for key in needed:
        if key not in entry:
            raise ConfigError(f"Config: {where}.{key} is missing; {entry['kind']} needs it.")
    for key in entry:
        check_member(key, ["kind", *needed, *possible], f"{where}: a key of {entry['kind']}")


def check_contract(study: str, config: dict) -> None:
    """Raise ConfigError unless names in the sections that the spine reads exist in the study."""
    agreement, measure = config["agreement"], config["measure"]
    check_member(agreement["reference"], config["arms"], f"{study}.agreement.reference")
    for arm in agreement["arms"]:
        check_member(arm, config["arms"], f"{study}.agreement.arms: arm")
    for name, contestant in measure["contestants"].items():
        where = f"{study}.measure.contestants.{name}.arm"
        check_member(contestant["arm"], config["arms"], where)
    for name, workload in measure["workloads"].items():
        for contestant in workload["contestants"]:
            where = f"{study}.measure.workloads.{name}.contestants"
            check_member(contestant, measure["contestants"], where)
    for key in ("baseline", "baseline_again"):
        where = f"{study}.measure.compare.{key}"
        check_member(measure["compare"][key], measure["contestants"], where)
    check_member(config["report"]["arm"], config["run"], f"{study}.report.arm")


def check_sections(config: dict, studies: list[str], axes: dict[str, list[str]]) -> None:
    """Raise ConfigError unless the studies to run and all sections are known to the workflow.

    `axes` has the axes of every known study: agreement is tested at each value of one of them.
    """
    known = list(axes)
    for study in studies:
        check_member(study, known, "studies")
        check_member(config[study]["agreement"]["split"], axes[study], f"{study}.agreement.split")
    for section in config:
        allowed = [*ROOT_SECTIONS, *known]
        if section not in allowed:
            hint = _hint(section, allowed)
            raise ConfigError(f"Config: {section!r} is no section{hint}. {_use(allowed)}")


def _hint(value: Any, allowed: list[str]) -> str:
    close = difflib.get_close_matches(str(value), [str(entry) for entry in allowed], n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _use(allowed: Iterable) -> str:
    return "Use one of: " + ", ".join(str(entry) for entry in allowed) + "."


def _place(parts: Iterable, at: str) -> str:
    place = at
    for part in parts:
        place += f"[{part}]" if isinstance(part, int) else f".{part}"
    return place.lstrip(".") or "the top level"


def _sentence(error: jsonschema.ValidationError, at: str) -> str:
    where, rule, value = _place(error.absolute_path, at), error.validator, error.instance
    if rule == "additionalProperties":
        known = list(error.schema.get("properties", {}))
        unknown = next(key for key in value if key not in known)
        place = _place([*error.absolute_path, unknown], at)
        return f"Config: {place} is no key of this workflow{_hint(unknown, known)}. {_use(known)}"
    if rule == "required":
        missing = next(key for key in error.validator_value if key not in value)
        return f"Config: {_place([*error.absolute_path, missing], at)} is missing."
    if rule == "enum":
        return f"Config: {where} is {value!r}{_hint(value, error.validator_value)}. " + _use(
            error.validator_value
        )
    wanted = {
        "type": f"must be of type {error.validator_value}",
        "minimum": f"must be at least {error.validator_value}",
        "maximum": f"must be at most {error.validator_value}",
        "exclusiveMinimum": f"must be greater than {error.validator_value}",
        "exclusiveMaximum": f"must be less than {error.validator_value}",
        "multipleOf": f"must be a multiple of {error.validator_value}",
        "minItems": f"must have at least {error.validator_value} entries",
        "minProperties": f"must have at least {error.validator_value} entries",
        "uniqueItems": "must not repeat an entry",
        "pattern": f"must match {error.validator_value}",
    }
    return f"Config: {where} is {value!r}; it {wanted.get(rule, error.message)}."
