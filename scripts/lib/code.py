"""What a script means: digests of its source and of every `scripts.*` module it imports."""

import functools
from collections.abc import Iterable
from pathlib import Path

from scripts.lib.parsed import Parsed
from scripts.lib.root import ROOT


@functools.cache
def parsed() -> Parsed:
    """Facts of the files of this repository."""
    return Parsed(ROOT / ".snakemake")


@functools.cache
def _files_of(parts: tuple[str, ...]) -> list[Path]:
    """Files of this repository that importing `a.b.c` executes; `c` may be a name inside `a.b`."""
    files, folder = [], ROOT
    for part in parts if parts[0] == "scripts" else []:
        module = (folder / part).with_suffix(".py")
        folder = folder / part
        if (folder / "__init__.py").is_file():
            files.append(folder / "__init__.py")
        elif module.is_file():
            return [*files, module]
    return files


Only = frozenset[str] | None


@functools.cache
def _imported(path: Path, only: Only = None) -> list[tuple[str, ...]]:
    """Absolute names that a file imports, e.g. ("scripts", "a", "model", "fit")."""
    package = list(path.relative_to(ROOT).parent.parts)
    names = parsed().facts(path, only)["imports"]
    return [
        tuple(package[: len(package) - level + 1] * bool(level) + parts) for level, parts in names
    ]


@functools.cache
def _imports(path: Path, only: Only = None) -> list[Path]:
    """Files of this repository that a file imports by itself."""
    return [file for parts in _imported(path, only) for file in _files_of(parts)]


@functools.cache
def closure(script: str, only: Only = None) -> tuple[Path, ...]:
    """The script (path from the repository root) and all it imports from `scripts`, sorted.

    Imports are read from the source, also those inside functions; of a file that declares
    implementations, those of the ones in `only`.
    """
    todo, seen = [ROOT / script], set()
    while todo:
        path = todo.pop()
        if path in seen:
            continue
        seen.add(path)
        todo += _imports(path, only)
    return tuple(sorted(seen))


@functools.cache
def _by_name(path: Path, only: Only = None) -> tuple[frozenset[Path], ...]:
    """For each import of a file by a name made at run time, the modules that it may mean.

    Those of the package with which the name begins (f"scripts.a.{name}"), or else all of the
    study's. What `lib` and the spine import so is the study's: its rule stamps it.
    """
    own, found = ROOT.joinpath(*path.relative_to(ROOT).parts[:2]), []
    for text in parsed().facts(path, only)["by_name"]:
        parts = text.split(".")[:-1]
        folder = ROOT.joinpath(*parts) if parts[:1] == ["scripts"] and parts[1:] else own
        if own.name not in ("lib", "spine") or folder != own:
            found.append(frozenset(folder.rglob("*.py")) - {path})
    return tuple(found)


def _named(files: set[Path], only: frozenset[str]) -> frozenset[str]:
    """What one of these files takes by name of a module with implementations: it may be called."""
    found = set()
    for path in files:
        for parts in _imported(path, only):
            for file in _files_of(parts):
                found |= {parts[-1]} if parsed().facts(file)["implementations"] else set()
    return frozenset(found)


@functools.cache
def executed(*scripts: str, only: Only = None) -> tuple[set[Path], Only]:
    """Files that running these scripts may execute, and the implementations that they may call."""
    files = _executed(*scripts, only=only)
    while only is not None and not (called := _named(files, only)) <= only:
        only |= called
        files = _executed(*scripts, only=only)
    return files, only


def _executed(*scripts: str, only: Only) -> set[Path]:
    """Files that running these scripts may execute, if these implementations are called.

    A module that is imported by a name made at run time may be any of its package, unless one of
    them is among the scripts: a rule that names the one that its jobs import is taken at its word.
    """
    files: set[Path] = set()
    todo = [path for script in scripts for path in closure(script, only)]
    while todo:
        path = todo.pop()
        if path in files:
            continue
        files.add(path)
        for modules in _by_name(path, only):
            named = [s for s in scripts if ROOT / s in modules and path not in closure(s, only)]
            chosen = named or [module.relative_to(ROOT).as_posix() for module in modules]
            todo += [file for module in chosen for file in closure(module, only)]
    return files


def imports(script: str, implementation: str) -> list[str]:
    """Names that a script imports if it calls one of its implementations, also inside functions."""
    names = _imported(ROOT / script, frozenset([implementation]))
    return list(dict.fromkeys(".".join(parts) for parts in names))


def device_of(asked: str, script: str, *names: str) -> str:
    """`asked` if these implementations of a script all declare that they compute on it, else cpu.

    Read from the source: nobody who plans has to import what trains.
    """
    declared = parsed().facts(ROOT / script)["implementations"]
    return asked if all(asked in declared[name] for name in names) else "cpu"


def stamps(*scripts: str, only: Iterable[str] | None = None) -> list[str]:
    """One `path@digest` for each file that running these scripts may execute, sorted.

    As rule parameters they rerun a job exactly when the meaning of its code changes, and
    Snakemake's reason names the file. `only` names the implementations (scripts/lib/
    implementations.py) that the job may call: others, and what only they import, do not count.
    """
    return list(_stamps(*scripts, only=None if only is None else frozenset(only)))


@functools.cache
def _stamps(*scripts: str, only: Only) -> tuple[str, ...]:
    files, called = executed(*scripts, only=only)
    return tuple(
        f"{path.relative_to(ROOT).as_posix()}@{parsed().facts(path, called)['digest']}"
        for path in sorted(files)
    )
