"""Claims as records of earlier runs found them: dated, of a named machine, compared with nothing.

A record is a folder of results/records; its `ledger.csv` has one row for each claim that its run
measured, with the columns COLUMNS, written by scripts/spine/record.py.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from scripts.lib.faults import ConfigError

Row = dict[str, Any]
# What a claim compares. A record of another comparison says nothing of the claim.
COMPARED = ("slower", "faster", "workload", "quantity")
# What a run found of it.
FOUND = ("measured", "low", "high", "rounds", "pairs", "verdict", "reason", "date", "machine")
COLUMNS = ("id", *COMPARED, *FOUND)


def read_record(path: Path) -> list[Row]:
    """Rows of a record's ledger, None where a value is missing; ConfigError if it is not one."""
    table = pd.read_csv(path)
    if tuple(table.columns) != COLUMNS:
        raise ConfigError(
            f"{path}: has the columns {', '.join(table.columns)}; a record is written by "
            f"`make record` and has {', '.join(COLUMNS)}."
        )
    if table[["id", "verdict", "date", "machine"]].isna().any(axis=None):
        raise ConfigError(f"{path}: every row of a record has id, verdict, date and machine.")
    return table.astype(object).where(table.notna(), None).to_dict("records")


def newest(paths: Iterable[Path]) -> dict[str, Row]:
    """By claim, the newest of its rows in these records, with `record`, the folder that has it."""
    rows = [row | {"record": path.parent.name} for path in paths for row in read_record(path)]
    return {row["id"]: row for row in sorted(rows, key=lambda row: (row["date"], row["record"]))}


def beside(claim: Row, recorded: dict[str, Row]) -> Row:
    """Columns `record` and `record_<found>` of a ledger row; empty where no record has the claim.

    A record whose comparison is not the claim's of today is none of this claim.
    """
    row = recorded.get(claim["id"], {})
    if any((row.get(name) or "") != claim[name] for name in COMPARED):
        row = {}
    return {"record": row.get("record")} | {f"record_{name}": row.get(name) for name in FOUND}
