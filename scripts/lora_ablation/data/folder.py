"""A directory of safetensors adapters, with labels from folders, headers or a CSV file."""

import os
import re
from collections import Counter
from pathlib import Path

import numpy as np

from scripts.lib.faults import LoadError
from scripts.lib.foreign import csv_rows, foreign, marks
from scripts.lora_ablation.data.adapter_file import header, keys_of, names_of, read_file
from scripts.lora_ablation.data.layout import check_layout
from scripts.lora_ablation.data.peft_config import BESIDE
from scripts.lora_ablation.data.store import Shard
from scripts.lora_ablation.specs import AdapterFolder

ENDING = ".safetensors"
SHARD = re.compile(r"-\d{5}-of-\d{5}\.safetensors$")
SHARDED = "{} one part of an adapter in several files; merge them into one."


def count(source: AdapterFolder) -> int:
    """Adapters of the data source; their files are not opened."""
    if _kind(source) == "csv":
        return len(label_rows(source.labels))
    return len(_listed_names(source))


def read(source: AdapterFolder, seed: int, start: int, stop: int) -> Shard:
    """Adapters start..stop-1, in the order of their paths or of the CSV file.

    The layers, shapes and rank expected of all are those of the data source's first adapter.
    """
    folder = Path(source.path)
    (first, *_), *chosen = _entries(source, [0, *range(start, stop)])
    expected = read_file(first, _name(folder, first), source.root).layout
    names = [_name(folder, path) for path, *_ in chosen]
    matrix = np.empty((len(chosen), expected.width), np.float32)
    scales, told, left_out = [], Counter(), set()
    for row, name, (path, *_) in zip(matrix, names, chosen, strict=True):
        adapter = read_file(path, name, source.root)
        check_layout(adapter.layout, expected, name, _name(folder, first))
        np.concatenate([adapter.tensors[tensor].ravel() for tensor in expected.names], out=row)
        scales.append(adapter.scales)
        told[adapter.scaled_by] += 1
        left_out.update(adapter.left_out)
    return Shard(
        matrix=matrix,
        layout=expected,
        rows=range(start, stop),
        names=names,
        labels=[label for _, label, _ in chosen],
        groups=[group for *_, group in chosen],
        scales=np.asarray(scales, np.float32).reshape(len(chosen), -1),
        reading=_reading(expected.paired, told, left_out),
    )


def names(source: AdapterFolder) -> list[str]:
    """Names in the store of the first adapter's tensors; only the header of its file is read."""
    ((path, *_),) = _entries(source, [0])
    return names_of(keys_of(path), _name(Path(source.path), path), source.root)


def _reading(paired: bool, told: Counter, left_out: set[str]) -> dict[str, str]:
    """Where scales were found, and which tensors are no numbers of the adapter."""
    found = {"alpha / r": f"by {', '.join(sorted(told))}"} if paired else {}
    if left_out:
        shown = ", ".join(sorted(left_out)[:3]) + (", ..." if len(left_out) > 3 else "")
        found["left out"] = f"{len(left_out)} tensors of whole numbers ({shown})"
    return found


def listed(source: AdapterFolder) -> list[tuple]:
    """(file, label, group) of every adapter as far as a CSV states them, else (file,).

    No file of an adapter is opened.
    """
    if _kind(source) != "csv":
        return [(path,) for path in _files(source)]
    folder, labels = Path(source.path), source.labels
    rows = enumerate(label_rows(labels), 2)
    entries = [_listed(folder, row, f"{labels}: line {line}") for line, row in rows]
    first: dict[Path, int] = {}
    for line, (path, *_) in enumerate(entries, 2):
        if first.setdefault(path, line) != line:
            raise LoadError(
                f"{labels}: line {line} names {_name(folder, path)}, as line {first[path]} does "
                "in other words; expected each adapter once."
            )
    return entries


def marked(source: AdapterFolder) -> list[tuple]:
    """Marks of each adapter and of the configuration beside it, and what the list says of it."""
    entries = listed(source)
    paths = [path for path, *_ in entries]
    beside = {path: path.with_name(BESIDE) for path in paths}
    there = [path for path in dict.fromkeys(beside.values()) if path.exists()]
    found = dict(zip([*paths, *there], marks([*paths, *there]), strict=True))
    return [(found[path], found.get(beside[path]), *labels) for path, *labels in entries]


def label_rows(path: str) -> list[dict]:
    """Rows of a labels file: name, label and, where it has that column, group."""
    expected = "the columns name, label[, group]"
    rows = csv_rows(path, ("name", "label"), "the labels cannot be read", expected)
    if not rows:
        raise LoadError(f"{path}: holds no labels; expected {expected}.")
    seen: dict[str, int] = {}
    for line, row in enumerate(rows, 2):
        if not row["name"] or not row["label"]:
            raise LoadError(f"{path}: line {line} lacks a name or a label.")
        # In other words too; what only the disk knows, such as links, `listed` finds.
        plain = os.path.normpath(row["name"].removesuffix(ENDING))
        if plain in seen:
            raise LoadError(
                f"{path}: line {line} names {row['name']!r}, as line {seen[plain]} does; expected "
                "each adapter once."
            )
        seen[plain] = line
    return rows


def _kind(source: AdapterFolder) -> str:
    labels = source.labels
    return "folder" if labels == "folder" else "header" if labels.startswith("header:") else "csv"


def _entries(source: AdapterFolder, wanted: list[int]) -> list[tuple[Path, str, str | None]]:
    """(file, label, group) of the adapters at these positions."""
    folder, kind = Path(source.path), _kind(source)
    if kind == "csv":
        rows, labels = label_rows(source.labels), source.labels
        return [_listed(folder, rows[i], f"{labels}: line {i + 2}") for i in wanted]
    files = _files(source)
    if kind == "folder":
        return [(files[i], _top(folder, files[i]), None) for i in wanted]
    key = source.labels.removeprefix("header:")
    return [(files[i], _stated(folder, files[i], key), None) for i in wanted]


def _files(source: AdapterFolder) -> list[Path]:
    folder = Path(source.path)
    return [folder / name for name in _listed_names(source)]


def _listed_names(source: AdapterFolder) -> list[str]:
    """Paths below the folder, sorted; files are listed and not looked at, so 100,000 take 0.2 s."""
    folder, names = Path(source.path), []
    with foreign(folder):
        for at, inside, files in os.walk(folder):
            below = Path(at).relative_to(folder).as_posix()
            start = "" if below == "." else f"{below}/"
            # Names that begin with a dot are of the system: ._x of macOS is no adapter.
            inside[:] = [name for name in inside if not name.startswith(".")]
            found = (name for name in files if name.endswith(ENDING) and name[0] != ".")
            names += [start + name for name in found]
    if not names:
        raise LoadError(f"{folder}: holds no file that ends in {ENDING}.")
    if part := min((name for name in names if SHARD.search(name)), default=None):
        raise LoadError(SHARDED.format(f"{folder / part}: is"))
    return sorted(names)


def _name(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix()


def _top(folder: Path, path: Path) -> str:
    parts = path.relative_to(folder).parts
    if len(parts) < 2:
        raise LoadError(f"{path}: lies in no folder of {folder} that could name its class.")
    return parts[0]


def _stated(folder: Path, path: Path, key: str) -> str:
    stated = header(path)
    if key not in stated:
        has = ", ".join(sorted(stated)) or "nothing"
        raise LoadError(
            f"{_name(folder, path)}: its header does not state {key!r}; it states {has}."
        )
    return stated[key]


def _listed(folder: Path, row: dict, where: str) -> tuple[Path, str, str | None]:
    """What a CSV row names: a file with or without its ending, or the folder it is alone in."""
    path, inside = folder / row["name"], []
    with foreign(where, f"names {row['name'][:60]!r}", f"an adapter under {folder}"):
        if path.is_relative_to(folder) and ".." not in path.relative_to(folder).parts:
            inside = _inside(path) if path.is_dir() else []
            beside = [path.with_name(path.name + ENDING)] if path.name else []
            for candidate in (path, *beside, *inside[: len(inside) == 1]):
                if candidate.is_file():
                    return candidate, row["label"], row.get("group") or None
    if any(SHARD.search(part.name) for part in inside):
        raise LoadError(SHARDED.format(f"{where} names {row['name']!r}, where each file is"))
    several = f", but a folder of {len(inside)} files" if len(inside) > 1 else ""
    raise LoadError(f"{where} names {row['name']!r}, which is no adapter under {folder}{several}.")


def _inside(path: Path) -> list[Path]:
    return sorted(file for file in path.glob(f"*{ENDING}") if not file.name.startswith("."))
