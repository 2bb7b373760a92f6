"""Parquet files and Arrow tables that users bring: checked before anything looks into them."""

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from scripts.lib.faults import LoadError
from scripts.lib.foreign import check_file, foreign

MOST_ROWS = 2**31 - 1  # of a file: a few bytes can state any number of equal rows
MOST_BYTES = 2**36  # of a row group, unpacked


def footer(path: Path) -> pq.FileMetaData:
    """What a Parquet file says of itself; LoadError if it is none, or claims what cannot be."""
    check_file(path, "a Parquet file")
    with foreign(path, "cannot be read, as it is no Parquet file"):
        found = pq.read_metadata(path)
        groups = [found.row_group(i) for i in range(found.num_row_groups)]
        rows = sum(group.num_rows for group in groups)
        sizes = [group.total_byte_size for group in groups]
    if not 0 <= found.num_rows == rows <= MOST_ROWS:
        raise LoadError(
            f"{path}: states {found.num_rows} rows, and its row groups {rows}; expected equal "
            f"numbers of at most {MOST_ROWS}."
        )
    # Not column by column: pyarrow 26 ends the process where a column's own record is damaged.
    for claimed in sizes:
        if not 0 <= claimed <= MOST_BYTES:
            raise LoadError(
                f"{path}: states {claimed} bytes in a row group; expected at most {MOST_BYTES}."
            )
    return found


def validated(table: pa.Table, where: str | Path) -> pa.Table:
    """The table, if all its lists and texts lie inside its buffers: no reader looks again."""
    with foreign(where, expected="columns that are whole"):
        table.validate(full=True)
    return table


def check_plain(table: pa.Table, columns: Iterable[str], where: str) -> None:
    """LoadError unless each of these columns holds one plain value a row: no list, no bytes."""
    for name in columns:
        kind = table.schema.field(name).type
        plain = kind.value_type if pa.types.is_dictionary(kind) else kind
        if pa.types.is_nested(plain) or _bytes(plain):
            raise LoadError(f"{where}: column {name!r} holds {kind}; expected text or numbers.")


def _bytes(kind: pa.DataType) -> bool:
    tests = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary)
    return any(test(kind) for test in tests) or isinstance(kind, pa.BaseExtensionType)
