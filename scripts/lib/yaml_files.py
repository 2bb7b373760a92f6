"""Configuration files as they are written: what their readers would pass over in silence."""

import re
from collections.abc import Iterable
from pathlib import Path

import yaml

from scripts.lib.faults import ConfigError, reason
from scripts.lib.sentences import told

# The compiled parser where PyYAML has it: every call of Snakemake reads all configurations.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# What aliases may unfold to; the configuration of all studies has 2,000 values.
MOST = 100_000
# To YAML 1.1 017 is 15, and 12:30 is 750.
MISREAD = re.compile(r"[-+]?(0[0-9_]+|[0-9][0-9_]*(:[0-5]?[0-9])+)(\.[0-9_]*)?$")
MERGE = "tag:yaml.org,2002:merge"
NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")


def check_files(paths: Iterable[str | Path]) -> None:
    """Raise ConfigError with file and line for the first fault of YAML files, in their order."""
    for path in paths:
        check_file(Path(path))


def check_file(path: Path) -> None:
    """Raise ConfigError unless a YAML file says everything once, and nothing but plain values."""
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=LOADER)
    except OSError as error:
        raise ConfigError(f"Config: {path} cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"Config: {path} is not UTF-8; save it in that encoding.") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        said = reason(error.problem or "no YAML")
        raise ConfigError(f"Config: {path}, line {line}: {said}.") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"Config: {path} is no YAML ({reason(error)}).") from error
    if root is not None:
        _count(path, root, {}, ())


def _count(path: Path, node: yaml.Node, sizes: dict[int, int], above: tuple[int, ...]) -> int:
    """Values that a node unfolds to; every node is looked at once, however often it is named."""
    if id(node) in above:
        raise _fault(path, node, "what * names contains itself")
    if id(node) in sizes:
        return sizes[id(node)]
    inside, size = (*above, id(node)), 1
    if isinstance(node, yaml.MappingNode):
        _check_keys(path, node)
        size += sum(_count(path, value, sizes, inside) for _, value in node.value)
    elif isinstance(node, yaml.SequenceNode):
        size += sum(_count(path, value, sizes, inside) for value in node.value)
    elif node.tag in NUMBERS and MISREAD.match(node.value):
        raise _fault(path, node, f"{node.value} is another number to YAML; put text in quotes")
    if not node.tag.startswith("tag:yaml.org,2002:") or ":python/" in node.tag:
        raise _fault(path, node, f"{node.tag} is no tag of a plain value; take it out")
    if size > MOST:
        raise _fault(path, node, f"what * names unfolds to more than {MOST:,} values")
    sizes[id(node)] = size
    return size


def _check_keys(path: Path, node: yaml.MappingNode) -> None:
    lines: dict[str, int] = {}
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise _fault(path, key, "a key must be text")
        if key.tag != MERGE and key.value in lines:
            raise _fault(
                path, key, f"{told(key.value)} stands already in line {lines[key.value]}; keep one"
            )
        lines[key.value] = key.start_mark.line + 1


def _fault(path: Path, node: yaml.Node, said: str) -> ConfigError:
    return ConfigError(f"Config: {path}, line {node.start_mark.line + 1}: {said}.")
