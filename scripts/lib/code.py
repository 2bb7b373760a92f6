"""What a script means: digests of its source and of every `scripts.*` module it imports."""

import ast
import functools
import hashlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@functools.cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def _without_docstrings(tree: ast.Module) -> ast.Module:
    """The tree itself, changed; its imports are left."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        if isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return tree


@functools.cache
def file_digest(path: Path) -> str:
    """Digest of the parsed source: comments, layout and docstrings do not count."""
    meaning = ast.dump(_without_docstrings(_tree(path)))
    return hashlib.sha256(meaning.encode()).hexdigest()[:12]


def _imported_names(tree: ast.Module, package: list[str]) -> list[list[str]]:
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = base + (node.module.split(".") if node.module else [])
            names += [[*module, alias.name] for alias in node.names]
    return names


def _files_of(parts: list[str]) -> list[Path]:
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


@functools.cache
def _imports(path: Path) -> list[Path]:
    """Files of this repository that a file imports by itself."""
    package = list(path.relative_to(ROOT).parent.parts)
    return [file for parts in _imported_names(_tree(path), package) for file in _files_of(parts)]


@functools.cache
def closure(script: str) -> tuple[Path, ...]:
    """The script (path from the repository root) and all it imports from `scripts`, sorted.

    Imports are read from the source, also those inside functions; names built at run time
    (`importlib.import_module(variable)`) are not seen and must be stamped by their own path.
    """
    todo, seen = [ROOT / script], set()
    while todo:
        path = todo.pop()
        if path in seen:
            continue
        seen.add(path)
        todo += _imports(path)
    return tuple(sorted(seen))


def stamps(*scripts: str) -> list[str]:
    """One `path@digest` for each file that running these scripts executes, sorted.

    As rule parameters they rerun a job exactly when the meaning of its code changes, and
    Snakemake's reason names the file.
    """
    files = sorted({path for script in scripts for path in closure(script)})
    return [f"{path.relative_to(ROOT).as_posix()}@{file_digest(path)}" for path in files]
