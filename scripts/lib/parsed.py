"""What one Python file means and imports, parsed once: facts are kept by the bytes they are of."""

import ast
import contextlib
import functools
import hashlib
import json
import sys
from pathlib import Path

from xxhash import xxh3_128_hexdigest

from scripts.lib.faults import ConfigError
from scripts.lib.files import replacing
from scripts.lib.seals import with_checksum, without_checksum

# Calls that import, or run, a module by a name or path that they are given.
BY_NAME = ("import_module", "__import__", "run_module", "run_path", "spec_from_file_location")


class Parsed:
    """Facts of files; those of earlier calls, by this Python and this module, are in `folder`."""

    def __init__(self, folder: Path):
        rules = xxh3_128_hexdigest(Path(__file__).read_bytes() + sys.version.encode())
        self._store = folder / f"parsed-{rules}.json"
        self._kept, self._used = self._load(), {}

    def _load(self) -> dict[str, dict]:
        with contextlib.suppress(OSError):
            return json.loads(without_checksum(self._store.read_bytes()) or b"{}")
        return {}

    @functools.cache  # noqa: B019 (lives as long as the process)
    def facts(self, path: Path, only: frozenset[str] | None = None) -> dict:
        """Of a file: `digest` of its meaning, `imports`, `by_name` (see the functions below), and
        the devices of its `implementations` by their names.

        With `only`, of the file without those of its implementations that have other names.
        """
        content = path.read_bytes()
        key = xxh3_128_hexdigest(content)
        whole = self._known(key, content)
        if only is None or not whole["implementations"]:
            return whole
        kept = frozenset(only & set(whole["implementations"]))
        return self._known(f"{key} {' '.join(sorted(kept))}", content, kept)

    def _known(self, key: str, content: bytes, only: frozenset[str] | None = None) -> dict:
        """Facts under a key, of this call, an earlier one, or new ones."""
        known = self._used.get(key) or self._kept.get(key) or facts(content, only)
        self._used[key] = known
        return known

    def keep(self) -> None:
        """Keep what is known for the next calls, where the folder can be written."""
        if self._used.keys() - self._kept.keys():
            with contextlib.suppress(OSError), replacing(self._store) as temporary:
                temporary.write_bytes(with_checksum(json.dumps(self._used).encode()))


def facts(content: bytes, only: frozenset[str] | None = None) -> dict:
    """Facts of a file with this content, without implementations that are not in `only`."""
    tree = ast.parse(content)
    found = {"implementations": {n.name: _devices(n) for n in tree.body if _is_implementation(n)}}
    if only is not None:
        tree = _without_others(tree, only)
    found |= {"imports": _imports(tree), "by_name": _by_name(tree)}
    meaning = ast.dump(_without_docstrings(tree))
    return found | {"digest": hashlib.sha256(meaning.encode()).hexdigest()[:12]}


def _is_implementation(node: ast.stmt) -> bool:
    """Whether a statement is a function that scripts/lib/implementations.py decorates."""
    decorators = node.decorator_list if isinstance(node, ast.FunctionDef) else ()
    named = [getattr(decorator, "func", decorator) for decorator in decorators]
    return any(getattr(name, "id", "") == "implementation" for name in named)


def _devices(node: ast.FunctionDef) -> list[str]:
    """Devices that an implementation is declared to compute on."""
    told = [keyword for call in node.decorator_list for keyword in getattr(call, "keywords", ())]
    values = [keyword.value for keyword in told if keyword.arg == "devices"] or [ast.List([])]
    try:
        return list(ast.literal_eval(values[0])) or ["cpu"]
    except ValueError:
        raise ConfigError(
            f"The devices of the implementation {node.name} are {ast.unparse(values[0])}; write "
            'them out, as in devices=("cpu", "cuda").'
        ) from None


def _without_others(tree: ast.Module, only: frozenset[str]) -> ast.Module:
    """The module without the other implementations, and without the imports that only they use.

    One that the rest of the module names is no other: it may be called.
    """
    kept, named = [], set(only)
    while True:
        found = [node for node in tree.body if not _is_implementation(node) or node.name in named]
        if len(found) == len(kept):
            break
        kept, named = found, named | _names(ast.Module(found, []))
    kept = _without_helpers(kept, _names(tree), only)
    unused = _names(tree) - _names(ast.Module(kept, []))
    body = []
    for node in kept:
        if isinstance(node, ast.Import | ast.ImportFrom):
            node.names = [
                alias
                for alias in node.names
                if (alias.asname or alias.name.partition(".")[0]) not in unused
            ]
            if not node.names:
                continue
        body.append(node)
    return ast.Module(body, [])


def _without_helpers(kept: list[ast.stmt], named: set[str], only: frozenset[str]) -> list[ast.stmt]:
    """Statements without functions and classes that only dropped implementations name."""
    definitions = ast.FunctionDef | ast.ClassDef
    while True:
        used = _names(ast.Module(kept, [])) | only
        rest = [
            node
            for node in kept
            if not isinstance(node, definitions) or node.name in used or node.name not in named
        ]
        if len(rest) == len(kept):
            return kept
        kept = rest


def _names(tree: ast.Module) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def _imports(tree: ast.Module) -> list[list]:
    """[level, parts of the dotted name] of each name that is imported; level 0 is absolute.

    What is taken from an imported module (`module.name`) counts as imported too.
    """
    names, bound = [], {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [[0, alias.name.split(".")] for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = node.module.split(".") if node.module else []
            for alias in node.names:
                names.append([node.level, [*module, alias.name]])
                bound[alias.asname or alias.name] = names[-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") in bound:
            level, parts = bound[node.value.id]
            names.append([level, [*parts, node.attr]])
    unique = dict.fromkeys((level, *parts) for level, parts in names)
    return [[level, parts] for level, *parts in unique]


def _by_name(tree: ast.Module) -> list[str]:
    """For each import of a name made at run time the text with which the name begins."""
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args)
    called = ((getattr(c.func, "attr", getattr(c.func, "id", "")), c.args[0]) for c in calls)
    return [_leading_text(name) for function, name in called if function in BY_NAME]


def _leading_text(name: ast.expr) -> str:
    """The text with which a made name begins; "" where the source does not say."""
    if isinstance(name, ast.Constant) and isinstance(name.value, str):
        return name.value
    if isinstance(name, ast.JoinedStr):  # f"scripts.a.{name}"
        return _leading_text(name.values[0]) if name.values else ""
    if isinstance(name, ast.BinOp):  # "scripts.a." + name, "scripts.a.%s" % name
        return _leading_text(name.left).partition("%")[0]
    if isinstance(name, ast.Call) and isinstance(name.func, ast.Attribute):
        return _leading_text(name.func.value).partition("{")[0]  # "scripts.a.{}".format(name)
    return ""


def _without_docstrings(tree: ast.Module) -> ast.Module:
    """The tree itself, changed: comments, layout and docstrings have no meaning."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        if isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return tree
