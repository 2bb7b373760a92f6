"""Rows of an Arrow table to a matrix: list buffers are viewed by NumPy and copied once."""

import math

import numpy as np
import pyarrow as pa

from scripts.lib.faults import LoadError
from scripts.lora_ablation.data.layout import DOWN, Layout, paired_layout, sd15_layout
from scripts.lora_ablation.data.tensor_keys import UnknownRoot, tensor_name

WEIGHT_NAMES = ("lora.down.weight", "lora.up.weight")
LISTS = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
RANK = "rank"  # column of integers in the authors' data sets


def weight_columns(columns: list[str]) -> dict[str, str]:
    """Column of each tensor, by the tensor's name in the store."""
    found = {}
    for column in columns:
        if any(name in column for name in WEIGHT_NAMES):
            try:
                name = tensor_name(column)
            except UnknownRoot as error:
                raise LoadError(f"Column {error}.") from error
            if name is None or name in found:
                raise LoadError(
                    f"Column {column}: expected one <module>.lora.down.weight or .lora.up.weight."
                )
            found[name] = column
    if not found:
        raise LoadError(f"No column of LoRA weights; the columns are {', '.join(columns)}.")
    return found


def arrow_layout(table: pa.Table, rank: int | None = None) -> Layout:
    """Layout of the table's first row.

    Nested lists state their shape. Flat ones, N numbers, are (r, N/r) in down and (N/r, r) in up,
    with r from `rank`, else the column `rank`, else N over the width of Stable Diffusion 1.5.
    """
    shapes, flat = {}, {}
    for name, column in weight_columns(table.column_names).items():
        first = _storage(table[column].slice(0, 1).combine_chunks())
        if _depth(first.type, column) == 1:
            flat[name] = len(first.flatten())
            continue
        inner = _storage(first.flatten())
        shapes[name] = (len(inner), len(inner.flatten()) // max(len(inner), 1))
    if flat:
        rank = rank or _stated_rank(table) or _rank_by_width(flat)
        shapes |= {name: _unflattened(name, size, rank) for name, size in flat.items()}
    for name, shape in shapes.items():
        if 0 in shape:
            raise LoadError(f"The first adapter: layer {name} is null or empty.")
    return paired_layout(shapes, "The first adapter")


def to_matrix(table: pa.Table, layout: Layout, names: list[str]) -> np.ndarray:
    """The table's rows, float32 [rows, layout.width]; `names` say in errors which adapter it was.

    Takes List, LargeList, FixedSizeList and extension types (Array2D) of float16, 32 or 64, sliced
    and chunked in any way. Raises LoadError at nulls and where a row's shape is not the layout's.
    """
    columns = weight_columns(table.column_names)
    if lost := [name for name in layout.names if name not in columns]:
        raise LoadError(f"Column {lost[0]} is missing; expected the columns of the first adapter.")
    out = np.empty((len(table), layout.width), np.float32)
    for name, shape, start in zip(layout.names, layout.shapes, layout.offsets, strict=False):
        column, row = columns[name], 0
        for chunk in table[column].chunks:
            try:
                values = _payload(chunk, shape, column)
            except _RowError as error:
                raise LoadError(
                    f"Adapter {names[row + error.row]}: layer {column} {error.found}; "
                    f"expected shape {shape} as in the first adapter."
                ) from error
            # A float64 beyond float32 becomes infinite and is refused as such.
            with np.errstate(over="ignore"):
                out[row : row + len(chunk), start : start + values.shape[1]] = values
            row += len(chunk)
    return out


class _RowError(Exception):
    """A row of a chunk is not what the layout says."""

    def __init__(self, row: int, found: str):
        self.row, self.found = row, found


def _payload(array: pa.Array, shape: tuple[int, int], column: str) -> np.ndarray:
    """View of a chunk's numbers, [rows, p * q]; a copy is never made."""
    array = _storage(array)
    rows, lists = len(array), 1
    expected = shape if _depth(array.type, column) == 2 else (math.prod(shape),)
    for length in expected:
        array = _storage(array)
        _no_nulls(array, lists)
        wrong = np.flatnonzero(_lengths(array) != length)
        if wrong.size:
            found = _lengths(array)[wrong[0]]
            raise _RowError(wrong[0] // lists, f"has a list of {found} where {length} belong")
        array, lists = array.flatten(), lists * length
    _no_nulls(array, lists)
    return array.to_numpy(zero_copy_only=True).reshape(rows, lists)


def _storage(array: pa.Array) -> pa.Array:
    return array.storage if isinstance(array, pa.ExtensionArray) else array


def _lengths(array: pa.Array) -> np.ndarray:
    if pa.types.is_fixed_size_list(array.type):
        return np.broadcast_to(array.type.list_size, len(array))
    return np.diff(array.offsets.to_numpy())


def _no_nulls(array: pa.Array, per_row: int) -> None:
    if array.null_count:
        missing = np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False))
        raise _RowError(missing[0] // per_row, "is null or holds a null")


def _depth(kind: pa.DataType, column: str) -> int:
    """1 for lists of floats, 2 for lists of lists of floats."""
    inner, depth = kind, 0
    while any(test(inner) for test in LISTS):
        inner, depth = inner.value_type, depth + 1
    if depth not in (1, 2) or not pa.types.is_floating(inner):
        raise LoadError(f"Column {column}: holds {kind}; expected lists of floats, once nested.")
    return depth


def _stated_rank(table: pa.Table) -> int | None:
    stated = RANK in table.column_names and pa.types.is_integer(table.schema.field(RANK).type)
    rank = table[RANK][0].as_py() if stated else None
    if rank is not None and rank < 1:
        raise LoadError(f"Column {RANK}: is {rank} for the first adapter; expected 1 or more.")
    return rank


def _rank_by_width(sizes: dict[str, int]) -> int:
    known = sd15_layout(1)
    widths = {n: math.prod(s) for n, s in zip(known.names, known.shapes, strict=True)}
    ranks = {sizes[name] / widths[name] for name in sizes if name in widths}
    if len(ranks) != 1 or not max(ranks).is_integer():
        raise LoadError(
            f"Column {min(sizes)}: a flat list whose rank cannot be told; "
            "give the data source's rank or a column of integers named rank."
        )
    return int(max(ranks))


def _unflattened(name: str, size: int, rank: int) -> tuple[int, int]:
    if size % rank:
        raise LoadError(f"The first adapter: layer {name} has {size} numbers, not rank {rank}.")
    return (rank, size // rank) if name.endswith(DOWN) else (size // rank, rank)
