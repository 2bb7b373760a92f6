"""Configuration checks that end in one sentence: what is wrong, where, and what is allowed."""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field, ValidationError

from scripts.lib.devices import Device
from scripts.lib.faults import ConfigError
from scripts.lib.root import ROOT
from scripts.lib.sentences import hint, place, told, use, violation
from scripts.lib.typed import Model, Unique, setting, text_like

LARGEST = 2**63 - 1  # of whole numbers: tables hold no larger ones
# Snakemake plans a job in 2 ms, a measurement is one JSON text, and a job is told its units one by
# one.
JOBS, LETTERS, UNITS = 10_000, 120_000, 2_000
# Folders of the project that are not for results, and of the machine that are nobody's.
OWN = ("scripts", "workflow", "config", "tests", "profiles", "docs", "shared", "results/records")
SYSTEM = ("bin", "boot", "dev", "etc", "lib", "lib64", "proc", "sbin", "sys", "usr")
SYSTEM += ("System", "Library")
M = TypeVar("M", bound=Model)


def read_settings(model: type[M], section: Any, at: str) -> M:
    """The section of a configuration as its model; ConfigError with one sentence for a fault.

    `at` is where it sits in the whole configuration ("engression").
    """
    check_values(section, at)
    try:
        return model.model_validate(section)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        said = (first.get("ctx") or {}).get("error")
        raise (
            said if isinstance(said, ConfigError) else ConfigError(violation(first, section, at))
        ) from None


def check_values(value: Any, where: str) -> None:
    """What no type stops: NaN, numbers beyond every table, line breaks, keys that are no text."""
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
        check_values(part, place([key], where))


def check_member(value: Any, allowed: Iterable, where: str) -> None:
    """Raise ConfigError unless `value` is one of `allowed`."""
    allowed = list(allowed)
    if value not in allowed:
        raise ConfigError(f"Config: {where} is {told(value)}{hint(value, allowed)}. {use(allowed)}")


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


def differing(own: Model, base: Model) -> dict[str, Any]:
    """Values that `own`, whose keys may be left out (None), has other than `base`, by key."""
    return {k: v for k, v in own if v is not None and v != getattr(base, k)}


def check_idle(options: Mapping[str, Any], read: Iterable[str], where: str, what: str) -> None:
    """Raise ConfigError for an option that nobody reads, so that it would be in vain, unseen.

    `options` are those that differ from the default, by key, `read` the keys that are read, and
    `what` says by whom: "with the loader resident".
    """
    read = list(read)
    for key in options:
        if key not in read:
            raise ConfigError(f"Config: {where}.{key} has no effect {what}; take it out.")


def check_results(results: str) -> None:
    """Raise ConfigError unless a folder may be filled with results, and with nothing lost."""
    where, path = f"Config: pathvars.results is {results!r}", Path(results)
    if results.startswith("-"):
        raise ConfigError(f"{where}; commands would take it for an option, so begin with a letter.")
    if str(path) != results and ".." not in path.parts:
        raise ConfigError(f"{where}; write it as {str(path)!r}.")
    if ".." in path.parts:
        raise ConfigError(f"{where}; write the path without '..'.")
    full = Path.cwd().resolve() / path
    if full == ROOT or full in ROOT.parents:
        raise ConfigError(f"{where}, which holds the project; name a folder of its own.")
    if full == Path.cwd().resolve():
        raise ConfigError(f"{where}, which is the working directory; name a folder in it.")
    if full.is_relative_to(ROOT):
        own = full.relative_to(ROOT).as_posix()
        if own.startswith(".") or any(f"{own}/".startswith(f"{name}/") for name in OWN):
            raise ConfigError(f"{where}, which is the project's own; name another folder.")
    elif full.parts[1] in SYSTEM or len(full.parts) == 2:
        raise ConfigError(f"{where}, which is the machine's; name a folder of your own.")
    if file := next((part for part in (full, *full.parents) if part.is_file()), None):
        raise ConfigError(f"{where}, but {file} is a file; name a folder.")


class PathVars(Model):
    """Folders that rules name in angle brackets."""

    results: text_like("^[A-Za-z0-9_./-]+$", "a path of letters, digits and _ . / -") = setting(
        "Folder of all output, relative to the working directory (--directory)."
    )


class Root(Model):
    """Root keys of the configuration, beside the sections of the studies."""

    studies: Annotated[Unique[str], Field(min_length=1)] = setting(
        "Studies to run, in the order of the report."
    )
    seed: int = setting("Root of every random stream.", ge=0, le=LARGEST)
    device: Device = setting(
        "Where arms that can compute on a GPU do: cuda, cpu, or auto, a GPU where there is one.",
        default="auto",
    )
    pathvars: PathVars = setting("Folders that rules name in angle brackets.")
    note: str = setting("What a reader of the page should know first of this run.", default="")


def read_root(config: Mapping[str, Any]) -> Root:
    """The root of the configuration; ConfigError unless it is as it must be."""
    root = read_settings(Root, {key: config[key] for key in Root.model_fields if key in config}, "")
    check_results(root.pathvars.results)
    return root


def section_of(config: Mapping[str, Any], study: str) -> Any:
    """The section of a study; ConfigError if no file has it."""
    if study not in config:
        raise ConfigError(
            f"Config: no file has the section {study!r}; config/{study}.yaml must begin with it."
        )
    return config[study]


def check_sections(config: Mapping[str, Any], known: Iterable[str]) -> None:
    """Raise ConfigError unless studies to run, and all sections, are known to the workflow."""
    known = list(known)
    for study in config["studies"]:
        check_member(study, known, "studies")
    for section in config:
        allowed = [*Root.model_fields, *known]
        if section not in allowed:
            raise ConfigError(
                f"Config: {section!r} is no section{hint(section, allowed)}. {use(allowed)}"
            )
