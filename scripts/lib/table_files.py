"""Tables on disk: Parquet with provenance in its metadata, and CSV."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from scripts.lib.faults import ContractError
from scripts.lib.files import replacing
from scripts.lib.provenance import provenance

if TYPE_CHECKING:
    import pandas as pd


def write_table(path: str | Path, columns: dict[str, Any] | list[dict], **metadata: Any) -> None:
    """Write columns, or rows of equal keys, to Parquet, with provenance and `metadata`."""
    build = pa.Table.from_pylist if isinstance(columns, list) else pa.table
    table = build(columns)
    notes = {"isospeed": json.dumps(provenance() | metadata)}
    with replacing(path) as temporary:
        pq.write_table(table.replace_schema_metadata(notes), temporary)


def same_keys(rows: list[dict]) -> list[dict]:
    """The rows with all keys of any of them; what a row lacks is None."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    return [{name: row.get(name) for name in names} for row in rows]


def write_csv(path: str | Path, rows: list[dict]) -> None:
    """Write rows as CSV; what a row lacks is an empty field."""
    with replacing(path) as temporary:
        csv.write_csv(pa.Table.from_pylist(same_keys(rows)), temporary)


def write_frame(path: str | Path, table: "pd.DataFrame") -> None:
    """Write a table as CSV; one without rows still has its header, so that readers can open it."""
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False)


def together(
    parts: "list[dict[str, Any]] | list[pd.DataFrame]", columns: list[str]
) -> "pd.DataFrame":
    """Rows, or tables, as one table; without any, a table that has the columns and no rows."""
    import pandas as pd

    if parts and isinstance(parts[0], pd.DataFrame):
        return pd.concat(parts, ignore_index=True)
    return pd.DataFrame(parts, columns=columns)


def read_table(path: str | Path, columns: list[str] | None = None) -> pa.Table:
    """A Parquet file of ours, or these of its columns.

    `pyarrow.parquet.read_table` reads data sets too: it imports pandas, a fifth of a second a job.
    """
    table = pq.ParquetFile(path).read(columns)
    return table.select(columns) if columns else table


def read_metadata(path: str | Path) -> dict:
    """Provenance and other metadata that `write_table` stored."""
    notes = (pq.read_schema(path).metadata or {}).get(b"isospeed")
    if notes is None:
        raise ContractError(f"{path}: not written by this workflow (no provenance in it).")
    return json.loads(notes)
