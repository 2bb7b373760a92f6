"""Columns of numbers from a user's table: CSV, Parquet or .npy, read in one way or refused."""

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from scripts.lib.faults import LoadError
from scripts.lib.foreign import check_columns, foreign, text
from scripts.lib.foreign_arrays import mapped
from scripts.lib.foreign_tables import check_plain, footer, validated


def numbers(path: Path, columns: Sequence[str] | None = None) -> tuple[list[str], np.ndarray]:
    """Names and values, float64 (rows, columns), of these columns, of all where none are named.

    The ending of the file says how it is read. Columns of an .npy array of one or two dimensions
    are named "0", "1", ... Nothing is guessed: LoadError, with line or row, for a value that is no
    finite number, for a missing one, for a CSV file without a line of names, for a column that is
    not there or there twice, and for a table without rows.
    """
    read = {".csv": _csv, ".parquet": _parquet, ".npy": _npy}.get(path.suffix)
    if read is None:
        raise LoadError(f"{path}: ends in {path.suffix!r}; expected .csv, .parquet or .npy.")
    names, values, first, unit = read(path, columns)
    if not len(values):
        raise LoadError(f"{path}: has no rows.")
    if len(bad := np.argwhere(~np.isfinite(values))):
        row, column = bad[0]
        raise LoadError(
            f"{path}: {unit} {row + first} has no finite number in the column {names[column]!r}; "
            "leave such rows out."
        )
    return names, values


Read = tuple[list[str], np.ndarray, int, str]  # names, values, number of the first row, its word


def _csv(path: Path, columns: Sequence[str] | None) -> Read:
    expected = "a line of column names, then lines of as many numbers, with commas between them"
    words = text(path, expected=expected)
    with foreign(path, expected=expected):
        reader = csv.reader(io.StringIO(words, newline=""), strict=True)
        lines = [(reader.line_num, row) for row in reader if row]
    there = [name.strip() for name in lines[0][1]] if lines else []
    if there and all(_number(name) is not None for name in there):
        raise LoadError(
            f"{path}: its first line has numbers only ({', '.join(there[:5])}); expected a line of "
            "column names, as the first line is none of the data."
        )
    names = list(columns or there)
    _check_names(there, names, path)
    wanted, values = [there.index(name) for name in names], []
    for line, row in lines[1:]:
        if len(row) != len(there):
            raise LoadError(
                f"{path}: line {line} has {len(row)} fields, and there are {len(there)} columns."
            )
        values.append([_number(row[at]) for at in wanted])
        if None in values[-1]:
            at = values[-1].index(None)
            raise LoadError(
                f"{path}: line {line} has {row[wanted[at]]!r} in the column {names[at]!r}; "
                "expected a finite number (leave out rows without one)."
            )
    return names, np.array(values, dtype=float).reshape(-1, len(names)), 2, "line"


def _number(text: str) -> float | None:
    """A number as every program writes it; Python alone takes 1_000, and no table means NaN so."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and "_" not in text else None


def _parquet(path: Path, columns: Sequence[str] | None) -> Read:
    footer(path)
    with foreign(path):
        there = pq.read_schema(path).names
    names = list(columns or there)
    _check_names(there, names, path)
    with foreign(path):
        table = validated(pq.read_table(path, columns=names), path)
    check_plain(table, names, str(path))
    found = []
    for name in names:
        with foreign(path, f"the column {name!r} is none of numbers"):
            kind = table[name].type
            if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)
                    or pa.types.is_decimal(kind)):  # fmt: skip
                raise ValueError(f"it holds {kind}")
            column = pc.cast(table[name], "float64", safe=False)
            found.append(column.to_numpy())  # a missing value becomes NaN
    return names, np.stack(found, axis=1), 1, "row"


def _npy(path: Path, columns: Sequence[str] | None) -> Read:
    array = mapped(path)
    if array.ndim not in (1, 2) or array.dtype.kind not in "iuf":
        raise LoadError(
            f"{path}: holds {array.dtype} of shape {array.shape}; expected numbers in one or two "
            "dimensions."
        )
    table = np.array(array, dtype=float)
    table = table[:, None] if table.ndim == 1 else table
    there = [str(column) for column in range(table.shape[1])]
    names = list(columns or there)
    _check_names(there, names, path)
    return names, table[:, [there.index(name) for name in names]], 1, "row"


def _check_names(there: list[str], names: list[str], path: Path) -> None:
    if not there:
        raise LoadError(f"{path}: has no columns.")
    check_columns(there, names, str(path), f"one of {', '.join(there)}")
