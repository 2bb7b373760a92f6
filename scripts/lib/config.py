"""Configuration checks that end in one sentence: what is wrong, where, and what is allowed."""

import functools
import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from scripts.lib.code import ROOT
from scripts.lib.faults import ConfigError
from scripts.lib.sentences import hint, place, told, use, violation
from scripts.lib.yaml_files import LOADER

ROOT_SECTIONS = ("studies", "seed", "pathvars")
SCHEMAS = ROOT / "workflow/schemas"
# JSON schema takes 3.0 for an integer; as a count or in a file name it is none.
WHOLE = jsonschema.Draft202012Validator.TYPE_CHECKER.redefine(
    "integer", lambda _, value: type(value) is int
)
STRICT = jsonschema.validators.extend(jsonschema.Draft202012Validator, type_checker=WHOLE)
LARGEST = 2**63 - 1  # of whole numbers: tables hold no larger ones
# A command line holds 131,072 characters, and a job is told what to do on its own.
LETTERS, JOBS, UNITS = 120_000, 1_000, 2_000
# Folders of the project that are not for results, and of the machine that are nobody's.
OWN = ("scripts", "workflow", "config", "tests", "profiles", "docs", "shared", "results/records")
SYSTEM = ("bin", "boot", "dev", "etc", "lib", "lib64", "proc", "sbin", "sys", "usr")
SYSTEM += ("System", "Library")


def check_config(config: Any, schema: str, at: str = "") -> None:
    """Raise ConfigError with one sentence for the first violation of the JSON schema.

    `schema` is a file of workflow/schemas/; `at` is where `config` sits in the whole
    configuration ("engression").
    """
    _check_values(config, at)
    errors = STRICT(schema_of(schema)).iter_errors(config)
    for error in sorted(errors, key=lambda error: [str(part) for part in error.absolute_path]):
        raise ConfigError(violation(error, at))


def _check_values(value: Any, where: str) -> None:
    """What no schema stops: NaN, numbers beyond every table, line breaks, keys that are no text."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"Config: {where} is {value}; it must be a finite number.")
    if isinstance(value, int) and abs(value) > LARGEST:
        raise ConfigError(f"Config: {where} is {told(value)}; it must be at most {LARGEST}.")
    if isinstance(value, str) and value.splitlines() not in ([], [value]):
        raise ConfigError(f"Config: {where} is {told(value)}; it must be one line.")
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise ConfigError(
                    f"Config: {where or 'the top level'} has the key {told(key)}, which YAML does "
                    "not read as text; put it in quotes."
                )
            if key.splitlines() != [key]:
                raise ConfigError(
                    f"Config: {where} has the key {told(key)}; a key is one line, and not empty."
                )
    parts = enumerate(value) if isinstance(value, list) else getattr(value, "items", list)()
    for key, part in parts:
        _check_values(part, place([key], where))


@functools.cache
def schema_of(name: str) -> dict:
    """A schema of workflow/schemas/, with what it refers to in place of each `$ref`."""
    schema = yaml.load((SCHEMAS / name).read_text(encoding="utf-8"), Loader=LOADER)
    return _resolved(schema, schema)


def _resolved(node: Any, schema: dict) -> Any:
    if isinstance(node, list):
        return [_resolved(part, schema) for part in node]
    if not isinstance(node, dict):
        return node
    found = {key: _resolved(part, schema) for key, part in node.items() if key != "$ref"}
    if "$ref" not in node:
        return found
    file, _, pointer = node["$ref"].partition("#/")
    target = schema_of(file) if file else schema
    for part in pointer.split("/"):
        target = target[part]
    return _resolved(target, schema) | found


def check_member(value: Any, allowed: Iterable, where: str) -> None:
    """Raise ConfigError unless `value` is one of `allowed`."""
    allowed = list(allowed)
    if value not in allowed:
        raise ConfigError(f"Config: {where} is {told(value)}{hint(value, allowed)}. {use(allowed)}")


def check_keys(entry: dict, kinds: dict[str, tuple], where: str) -> None:
    """Raise ConfigError unless an entry has the keys of its kind: (needed, possible) by kind."""
    needed, possible = kinds[entry["kind"]]
    for key in needed:
        if key not in entry:
            raise ConfigError(f"Config: {where}.{key} is missing; {entry['kind']} needs it.")
    for key in entry:
        check_member(key, ["kind", *needed, *possible], f"{where}: a key of {entry['kind']}")


def check_work(workload: dict, needed: dict[str, tuple], where: str) -> None:
    """Raise ConfigError unless a workload has the keys that its kind of work needs."""
    for key in needed[workload["work"]]:
        if key not in workload:
            raise ConfigError(
                f"Config: {where}.{key} is missing; the work {workload['work']} needs it."
            )


def check_order(values: Sequence[float], where: str, strictly: bool = False) -> None:
    """Raise ConfigError unless numbers rise."""
    for first, second in pairwise(values):
        if first > second or (strictly and first == second):
            raise ConfigError(f"Config: {where} is {told(list(values))}; the numbers must rise.")


def check_size(count: int, most: int, what: str, where: str, remedy: str) -> None:
    """Raise ConfigError if more is asked for than can be planned; counted, never listed."""
    if count > most:
        raise ConfigError(
            f"Config: {where} asks for {count:,} {what}, and at most {most:,} can be planned; "
            f"{remedy}."
        )


def check_folder(folder: Path) -> None:
    """Raise ConfigError unless Snakemake runs in the project's folder: its jobs look there."""
    if folder.resolve() != ROOT:
        raise ConfigError(
            f"Config: Snakemake runs in {folder}; run it in the folder of the project, {ROOT}, and "
            "name the folder of results in pathvars.results."
        )


def check_results(results: str) -> None:
    """Raise ConfigError unless a folder may be filled with results, and with nothing lost."""
    where, path = f"Config: pathvars.results is {results!r}", Path(results)
    if results.startswith("-"):
        raise ConfigError(f"{where}; commands would take it for an option, so begin with a letter.")
    if str(path) != results and ".." not in path.parts:
        raise ConfigError(f"{where}; write it as {str(path)!r}.")
    if ".." in path.parts:
        raise ConfigError(f"{where}; write the path without '..'.")
    full = ROOT / path
    if full == ROOT or full in ROOT.parents:
        raise ConfigError(f"{where}, which holds the project; name a folder of its own.")
    if full.is_relative_to(ROOT):
        own = full.relative_to(ROOT).as_posix()
        if own.startswith(".") or any(f"{own}/".startswith(f"{name}/") for name in OWN):
            raise ConfigError(f"{where}, which is the project's own; name another folder.")
    elif full.parts[1] in SYSTEM or len(full.parts) == 2:
        raise ConfigError(f"{where}, which is the machine's; name a folder of your own.")
    if file := next((part for part in (full, *full.parents) if part.is_file()), None):
        raise ConfigError(f"{where}, but {file} is a file; name a folder.")


def check_root(config: dict) -> None:
    """Raise ConfigError unless the root of the configuration is as its schema says."""
    check_config(config, "config.schema.yaml")
    check_results(config["pathvars"]["results"])


def check_sections(config: dict, known: Iterable[str]) -> None:
    """Raise ConfigError unless studies to run, and all sections, are known to the workflow."""
    known = list(known)
    for study in config["studies"]:
        check_member(study, known, "studies")
    for section in config:
        allowed = [*ROOT_SECTIONS, *known]
        if section not in allowed:
            raise ConfigError(
                f"Config: {section!r} is no section{hint(section, allowed)}. {use(allowed)}"
            )
