"""A long table, CSV or Parquet, with a row per answer: who, when, to what, how."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import csv as arrow_csv

from scripts.deep_gpcm.data.coding import graded, levels_read
from scripts.deep_gpcm.data.responses import (
    CastError,
    Responses,
    assemble,
    cast,
    item_table,
    student_table,
)
from scripts.deep_gpcm.options import LongTable
from scripts.lib.faults import LoadError
from scripts.lib.foreign import check_file, check_utf8, foreign, mark_told
from scripts.lib.foreign_tables import check_plain, footer, validated

UNTIMED = "none"
# What programs write for a missing value, in any case of letters.
MISSING = ("nan", "na", "n/a", "<na>", "nat", "null", "none", "#n/a")
ROLES = ("student", "time", "item", "response")
# How a column of times may be read, and what says where a row stands in its file.
MOMENTS = (pa.int64(), pa.float64(), pa.timestamp("ns"), pa.timestamp("ns", "UTC"))
Where = Callable[[int], str]


def read(source: LongTable) -> Responses:
    """Answers of the columns `student`, `time`, `item` and `response` of the file `path`.

    Students and items are numbered in the order of their names, of their numbers if all names are
    numbers; a student's answers are sorted by time (numbers or ISO dates; any row order), or
    stand in the order of the rows (`time: none`, and equal times with `ties: file_order`). An item
    has `categories` categories if they are given, else those up to its highest, at least 2. Files
    are in UTF-8. Raises LoadError with the line of a CSV file, or the row, from 1, of a Parquet
    file.
    """
    path = source.path
    wanted = {role: getattr(source, role) for role in ROLES}
    if source.time == UNTIMED:
        del wanted["time"]
    table, first = _table(path, wanted)
    columns = {role: _column(table, name) for role, name in wanted.items()}

    def where(row: int) -> str:
        return f"{path}: {'line' if first else 'row'} {row + first + 1}"

    _check_present(columns, wanted, path, where)
    if source.missing == "refuse":
        _check_names(columns, wanted, where)
    response, coded = graded(columns["response"], source, where)
    student, students = _numbered(columns["student"])
    item, items = _numbered(columns["item"])
    # Stable: equal times stay in the order of the rows.
    time = _times(columns["time"], where) if "time" in columns else np.zeros(len(student))
    order = np.lexsort((time, student))
    tied = _ties(student[order], time[order])
    if len(tied) and "time" in columns and source.ties == "refuse":
        _refuse_tie(int(order[1:][tied].min()), columns, where)
    levels = np.full(len(items), source.categories or 2)
    np.maximum.at(levels, item, response + 1)
    stated = f"{source.categories} an item (categories)"
    return assemble(
        student=student[order],
        question=item[order] + 1,
        response=response[order],
        students=student_table(students),
        items=item_table(items, levels),
        window=source.window,
        reading={
            "responses": coded,
            "categories": stated if source.categories else levels_read(item, response, levels),
            "order": _order_read(source, len(tied)),
        },
    )


def _order_read(source: LongTable, tied: int) -> str:
    if source.time == UNTIMED:
        return "the rows' (time: none)"
    if not tied:
        return f"by {source.time}, in which no student has two answers at one time"
    return f"by {source.time}; {tied} answers at the time of another are in the rows' order (ties)"


def _table(path: str, wanted: dict[str, str]) -> tuple[pa.Table, int]:
    """The wanted columns of a file, and how many lines stand above its first row."""
    read = {".csv": _read_csv, ".parquet": _read_parquet}.get(Path(path).suffix)
    if read is None:
        raise LoadError(f"{path}: ends in neither .csv nor .parquet.")
    check_file(path)
    with foreign(path):
        table = validated(read(path, wanted), path)
    check_plain(table, table.column_names, path)
    return table, int(read is _read_csv)


def _read_csv(path: str, wanted: dict[str, str]) -> pa.Table:
    """All as text: numbers would be guessed from text, and 007 and 7 become one name."""
    check_utf8(path)
    with Path(path).open(encoding="utf-8-sig", newline="") as file:
        header = next(csv.reader(file), [])
    _check_columns(header, wanted, path)
    names = list(dict.fromkeys(wanted.values()))
    return arrow_csv.read_csv(
        path,
        # Empty lines are kept, so that errors can name lines.
        parse_options=arrow_csv.ParseOptions(ignore_empty_lines=False),
        convert_options=arrow_csv.ConvertOptions(
            include_columns=names,
            column_types=dict.fromkeys(names, pa.string()),
            strings_can_be_null=True,
            null_values=[""],
        ),
    )


def _read_parquet(path: str, wanted: dict[str, str]) -> pa.Table:
    footer(Path(path))
    _check_columns(pq.read_schema(path).names, wanted, path)
    return pq.read_table(path, columns=list(dict.fromkeys(wanted.values())))


def _check_columns(found: list[str], wanted: dict[str, str], path: str) -> None:
    for role, name in wanted.items():
        if name not in found:
            raise LoadError(
                f"{path}: has no column {name!r} for the {role}; its columns are: "
                f"{', '.join(found) or 'none'}{mark_told(found)}."
            )
        if found.count(name) > 1:
            raise LoadError(
                f"{path}: has the column {name!r} of the {role} {found.count(name)} times; "
                "expected it once."
            )


def _column(table: pa.Table, name: str) -> pa.Array:
    column = table[name].combine_chunks()
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _check_present(
    columns: dict[str, pa.Array], wanted: dict[str, str], path: str, where: Where
) -> None:
    if not len(columns["student"]):
        raise LoadError(f"{path}: has no rows.")
    absent = {
        role: _first(pc.is_null(values, nan_is_null=True)) for role, values in columns.items()
    }
    rows = {role: row for role, row in absent.items() if row is not None}
    if rows:
        role = min(rows, key=rows.get)
        remedy = "; leave out rows without an answer" if role == "response" else ""
        raise LoadError(f"{where(rows[role])} has no {role} (column {wanted[role]!r}){remedy}.")


def _check_names(columns: dict[str, pa.Array], wanted: dict[str, str], where: Where) -> None:
    """LoadError for a student or an item whose name is what a missing value is written as."""
    for role in ("student", "item"):
        names = pc.utf8_lower(pc.utf8_trim_whitespace(columns[role].cast(pa.string())))
        row = _first(pc.is_in(names, pa.array([*MISSING, ""])))
        if row is not None:
            raise LoadError(
                f"{where(row)} has the {role} {columns[role][row].as_py()!r} (column "
                f"{wanted[role]!r}), as missing values are written; take such rows out, or state "
                "missing: text if it is a name."
            )


def _times(values: pa.Array, where: Where) -> np.ndarray:
    if pa.types.is_string(values.type):
        values = pc.replace_substring_regex(values, r" UTC$", "Z")
    try:
        found = cast(values, *MOMENTS)
    except CastError as error:
        row = f"{where(error.row)} has time {values[error.row].as_py()!r}"
        raise LoadError(f"{row}; expected all numbers or all ISO dates.") from error
    moments = found.to_numpy(zero_copy_only=False)
    row = None if moments.dtype.kind != "f" else _first(~np.isfinite(moments))
    if row is not None:
        raise LoadError(f"{where(row)} has time {values[row].as_py()}; expected finite numbers.")
    return moments


def _numbered(values: pa.Array) -> tuple[np.ndarray, list[str]]:
    """Codes (n,) from 0 and the sorted names that they number."""
    names = values.cast(pa.string())
    distinct = names.unique()
    try:
        numbers = cast(distinct, pa.float64()).to_numpy()
    except CastError:
        numbers = np.zeros(len(distinct))
    order = np.lexsort((np.array(distinct.to_pylist()), numbers))
    ordered = distinct.take(pa.array(order))
    return pc.index_in(names, ordered).to_numpy().astype(np.int64), ordered.to_pylist()


def _ties(student: np.ndarray, time: np.ndarray) -> np.ndarray:
    """Places of sorted answers, but for the first one, that share student and time with the one
    before."""
    return np.flatnonzero((student[1:] == student[:-1]) & (time[1:] == time[:-1]))


def _refuse_tie(row: int, columns: dict[str, pa.Array], where: Where) -> None:
    who, when = (columns[role][row].as_py() for role in ("student", "time"))
    raise LoadError(
        f"{where(row)} has a second answer of student {who} at time {when}; expected one answer at "
        "a time, or ties: file_order, which keeps the order of the rows."
    )


def _first(flags: np.ndarray | pa.Array) -> int | None:
    """Row of the first true value."""
    found = np.flatnonzero(flags)
    return int(found[0]) if found.size else None
