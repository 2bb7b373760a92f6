"""Tables as the rows that the page's template reads, and how the page prints a value."""

import json
from collections.abc import Sequence
from numbers import Real
from pathlib import Path
from typing import Any

import pandas as pd

from scripts.lib.numerals import plain
from scripts.lib.table_files import read_frame


def shown(value: Any) -> Any:
    """What a template prints: numbers and what is missing in the page's form, all else as it is."""
    return plain(value) if value is None or isinstance(value, Real) else value


def records(table: pd.DataFrame) -> list[dict]:
    """Rows as plain values, None where one is missing."""
    return table.convert_dtypes().astype(object).where(table.notna(), None).to_dict("records")


def nested(table: pd.DataFrame, keys: list[str], column: str) -> list[dict]:
    """For each combination of `keys` its rows, by their value of `column`."""
    return [{r[column]: r for r in records(part)} for _, part in table.groupby(keys, sort=False)]


def costs(measured: pd.DataFrame) -> list[dict]:
    """Medians by workload and contestant, with the number of rounds and the range of `wall_s`."""
    groups = measured.groupby(["workload", "contestant", "arm"], sort=False)
    walls = (
        groups["wall_s"].agg(fastest="min", slowest="max").assign(rounds=groups["round"].nunique())
    )
    return records(walls.join(groups.median(numeric_only=True)).reset_index())


def twins(runs: pd.DataFrame, axes: list[str], reference: str) -> list[dict]:
    """Per arm and cell: `twin`, the number of finished units that the reference finished too."""
    ok = runs[runs["status"] == "ok"]
    twin = ok.loc[ok["arm"] == reference, axes].assign(twin=1)
    both = ok[ok["arm"] != reference].merge(twin, on=axes, how="left")
    return records(both.groupby(["arm", *axes[:-1]], sort=False)["twin"].count().reset_index())


def only(table: pd.DataFrame, wanted: dict) -> pd.DataFrame:
    """Rows whose columns have the wanted values."""
    for column, value in wanted.items():
        table = table[table[column] == value]
    return table


def rows_of(path: Path) -> list[dict]:
    """Rows of a CSV file; none if it has not even a header."""
    return records(read_frame(path)) if path.read_text(encoding="utf-8").strip() else []


def extras(paths: Sequence[Path]) -> dict:
    """A study's own tables by file name (rows of CSV) and figures (SVG texts in JSON)."""
    tables = {path.stem: rows_of(path) for path in paths if path.suffix == ".csv"}
    figures = [json.loads(path.read_text()) for path in paths if path.suffix == ".json"]
    return {"tables": tables, "figures": dict(pair for part in figures for pair in part.items())}
