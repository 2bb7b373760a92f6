"""Tables on disk: Parquet with provenance in its metadata, and the row contract of run files."""

import json
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from scripts.lib.files import replacing
from scripts.lib.provenance import provenance

STATUSES = ("ok", "diverged", "failed")
RUN_COLUMNS = {
    "study": pa.string(),
    "arm": pa.string(),
    "seed": pa.int64(),
    "status": pa.string(),
    "fit_s": pa.float64(),
    "cpu_s": pa.float64(),
    "threads": pa.int64(),
    "device": pa.string(),
}


class ContractError(ValueError):
    """A table does not hold what its readers rely on."""


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


def read_metadata(path: str | Path) -> dict:
    """Provenance and other metadata that `write_table` stored."""
    notes = (pq.read_schema(path).metadata or {}).get(b"isospeed")
    if notes is None:
        raise ContractError(f"{path}: not written by this workflow (no provenance in it).")
    return json.loads(notes)


def check_rows(rows: list[dict], axes: list[str], where: str) -> None:
    """Raise ContractError unless every row has the contract's columns and a key of its own."""
    if not rows:
        raise ContractError(f"{where}: no rows.")
    missing = [name for name in [*RUN_COLUMNS, *axes] if name not in rows[0]]
    if missing:
        raise ContractError(f"{where}: column {missing[0]!r} is missing.")
    if unknown := {row["status"] for row in rows} - set(STATUSES):
        raise ContractError(
            f"{where}: status is {sorted(unknown)[0]!r}; use one of {', '.join(STATUSES)}."
        )
    keys = [tuple(row[axis] for axis in ("arm", *axes)) for row in rows]
    if len(set(keys)) < len(keys):
        raise ContractError(f"{where}: two rows have the same {', '.join(('arm', *axes))}.")


def write_runs(path: str | Path, rows: list[dict], axes: list[str], **metadata: Any) -> None:
    """Check run rows against the contract and write them, with the CPU time of the process so far.

    A row that lacks a metric of another row (a failed unit) gets a null there.
    """
    check_rows(rows, axes, str(path))
    write_table(path, same_keys(rows), job_cpu_s=time.process_time(), **metadata)


def read_runs(path: str | Path, axes: list[str]) -> pa.Table:
    """A run file; ContractError unless its rows meet the contract."""
    table = pq.read_table(path)
    check_rows(table.to_pylist(), axes, str(path))
    return table
