"""Tables on disk: Parquet with provenance in its metadata, and CSV."""

import csv
import json
import re
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv as arrow_csv

from scripts.lib.faults import ContractError
from scripts.lib.files import replacing
from scripts.lib.provenance import provenance

if TYPE_CHECKING:
    import pandas as pd

# A field of a CSV file, in quotes or without, and what follows it.
FIELD = re.compile(r'(?=.)(?:("(?:[^"]|"")*")|([^,\r\n"]*))(,|\r?\n|\Z)', re.DOTALL)


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
        arrow_csv.write_csv(pa.Table.from_pylist(same_keys(rows)), temporary)


def write_frame(path: str | Path, table: "pd.DataFrame") -> None:
    """Write a table as CSV; one without rows still has its header, so that readers can open it.

    Text that a reader would take for something else is in quotes, and so is all text beside it.
    """
    text = table.to_csv(index=False)
    if _mistaken(table, text):
        text = table.to_csv(index=False, quoting=csv.QUOTE_NONNUMERIC)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def _mistaken(table: "pd.DataFrame", text: str) -> bool:
    """Whether a guessing reader would find other words in a column than there are."""
    import pandas as pd

    back = pd.read_csv(StringIO(text)) if len(table) else table
    return any(
        isinstance(word, str) and word != found
        for name in table.columns
        for word, found in zip(table[name], back[name], strict=True)
    )


def read_frame(path: str | Path) -> "pd.DataFrame":
    """A table that `write_csv` wrote, in which what is quoted is text: `NA`, `007`, `1.50` too.

    A reader that guesses by content makes numbers of such labels, or takes them for missing.
    """
    import pandas as pd

    rows, row = [], []
    for quoted, plain, end in FIELD.findall(Path(path).read_text(encoding="utf-8")):
        row.append(quoted or plain)
        if end != ",":
            rows.append(row)
            row = []
    names = [unquoted(name) for name in rows[0]]
    columns = dict(zip(names, zip(*rows[1:], strict=True), strict=True)) if len(rows) > 1 else {}
    words = {
        name for name, fields in columns.items() if any(len(f) > 2 and f[0] == '"' for f in fields)
    }
    guessed = [name for name in names if name not in words]
    table = pd.read_csv(path, usecols=guessed) if guessed else pd.DataFrame()
    for name in words:
        table[name] = [unquoted(field) or None for field in columns[name]]
    return table[names]


def unquoted(field: str) -> str:
    """The text of a CSV field."""
    return field[1:-1].replace('""', '"') if field[:1] == '"' else field


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
