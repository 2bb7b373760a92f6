"""A matrix with one flattened adapter a row, a table of its tensors, and labels."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import safetensors

from scripts.lib.faults import LoadError
from scripts.lib.foreign import check_file, csv_rows, foreign, parsed_json, text
from scripts.lib.foreign_arrays import mapped
from scripts.lora_ablation.data.adapter_file import read_arrays
from scripts.lora_ablation.data.folder import label_rows
from scripts.lora_ablation.data.layout import paired_layout, plain_layout
from scripts.lora_ablation.data.store import Shard, constant_scales, stated_scale
from scripts.lora_ablation.data.tensor_keys import is_plain, tensor_name
from scripts.lora_ablation.specs import FlatMatrix


def count(source: FlatMatrix) -> int:
    """Adapters of the source, by its labels; the matrix is not opened."""
    return len(label_rows(source.labels))


def read(source: FlatMatrix, seed: int, start: int, stop: int) -> Shard:
    """Rows start..stop-1, their columns moved into layout order; LoadError if sizes disagree."""
    tensors, labels = _dimensions(source), label_rows(source.labels)
    path = source.path
    shape, rows_between = _open(Path(path))
    width = sum(rows * columns for _, rows, columns in tensors)
    if len(shape) != 2 or shape[1] != width:
        raise LoadError(
            f"{path}: has shape {tuple(shape)}; expected [adapters, {width}] "
            f"by {source.dimensions}."
        )
    if shape[0] != len(labels):
        raise LoadError(f"{path}: has {shape[0]} rows; expected {len(labels)} by {source.labels}.")
    shapes = {name: (rows, columns) for name, rows, columns in tensors}
    plain = is_plain([*shapes])
    layout = plain_layout(shapes) if plain else paired_layout(shapes, source.dimensions)
    starts = dict(zip(layout.names, layout.offsets[:-1], strict=True))
    with foreign(path):
        matrix = np.empty((stop - start, layout.width), np.float32)
        block, position = _float_rows(rows_between(start, stop), path), 0
    for name, rows, columns in tensors:
        size = rows * columns
        with np.errstate(over="ignore"):
            matrix[:, starts[name] : starts[name] + size] = block[:, position : position + size]
        position += size
    chosen = labels[start:stop]
    return Shard(
        matrix=matrix,
        layout=layout,
        rows=range(start, stop),
        names=[row["name"] for row in chosen],
        labels=[row["label"] for row in chosen],
        groups=[row.get("group") or None for row in chosen],
        scales=constant_scales(layout, stop - start, source.alpha),
        reading={} if plain else stated_scale(source.alpha),
    )


def names(source: FlatMatrix) -> list[str]:
    """Names of the tensors in the store; the matrix is not opened."""
    return [name for name, *_ in _dimensions(source)]


def _dimensions(source: FlatMatrix) -> list[tuple[str, int, int]]:
    """(name in the store, rows, columns) of each tensor, in the order of the matrix's columns.

    Names of which none is of an adapter are weights of their own, under these names.
    """
    path = source.dimensions
    fault = "no table of dimensions", "JSON {name: [rows, cols]} or CSV name,rows,cols"
    if path.endswith(".json"):
        stored = parsed_json(text(path, *fault), path, *fault)
        with foreign(path, *fault):
            rows = [(name, *shape) for name, shape in stored.items()]
    else:
        table = csv_rows(path, ("name", "rows", "cols"), *fault)
        rows = [(row["name"], row["rows"], row["cols"]) for row in table]
    with foreign(path, *fault):
        if rows and is_plain([name for name, *_ in rows]):
            tensors = [(name, *_size(size)) for name, *size in rows]
        else:
            tensors = [
                (tensor_name(name, source.root), _whole(p), _whole(q)) for name, p, q in rows
            ]
    for (key, *_), (name, p, q) in zip(rows, tensors, strict=True):
        if name is None or p < 1 or q < 1:
            raise LoadError(
                f"{path}: {key!r} with shape ({p}, {q}) is no down or up tensor; expected those of "
                "adapters, or of none."
            )
    if len({name for name, *_ in tensors}) < len(tensors):
        raise LoadError(f"{path}: names a tensor twice.")
    return tensors


def _size(size: list) -> tuple[int, int]:
    """Rows and columns of a shape: a vector is one row, further axes are columns."""
    sizes = [_whole(value) for value in size] or [1]
    rows = sizes[0] if len(sizes) > 1 else 1
    return rows, math.prod(sizes) // rows if rows > 0 else -1


def _whole(size: int | str) -> int:
    """A size as JSON or CSV states it; 2.7 is none."""
    if type(size) not in (int, str):
        raise ValueError(f"the size {size!r} is no whole number")
    return int(size)


def _open(path: Path) -> tuple[tuple[int, ...], Callable]:
    """Shape of the matrix in `path`, and a function that reads its rows from..to-1."""
    openers = {".npy": _numpy, ".safetensors": _safetensors, ".pt": _torch, ".pth": _torch}
    if path.suffix not in openers:
        raise LoadError(f"{path}: expected a file that ends in {', '.join(openers)}.")
    return openers[path.suffix](path)


def _numpy(path: Path) -> tuple:
    values = mapped(path)
    return values.shape, lambda start, stop: values[start:stop]


def _safetensors(path: Path) -> tuple:
    check_file(path)
    with foreign(path), safetensors.safe_open(path, "numpy") as file:
        values = file.get_slice(_only(list(file.keys()), path))
    if values.get_dtype() == "BF16":
        (values,) = read_arrays(path).values()
        return values.shape, lambda start, stop: values[start:stop]
    return values.get_shape(), lambda start, stop: values[start:stop]


def _torch(path: Path) -> tuple:
    import torch

    check_file(path)
    with foreign(path, expected="a plain tensor of torch 1.6 or later"):
        loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    found = list(loaded.values()) if isinstance(loaded, dict) else [loaded]
    values = _only([value for value in found if torch.is_tensor(value)], path)
    if not values.is_floating_point() or values.layout != torch.strided or values.is_meta:
        raise LoadError(
            f"{path}: is of type {values.dtype}, {values.layout}; expected floating point, strided."
        )
    # bfloat16 has no NumPy type.
    return tuple(values.shape), lambda start, stop: values[start:stop].float().numpy()


def _only(found: list, path: Path):
    if len(found) != 1:
        raise LoadError(f"{path}: holds {len(found)} tensors; expected one matrix.")
    return found[0]


def _float_rows(block: np.ndarray, path: str) -> np.ndarray:
    if block.dtype.kind != "f":
        raise LoadError(f"{path}: is of type {block.dtype}; expected floating point.")
    return block
