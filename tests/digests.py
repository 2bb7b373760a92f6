"""Digests of all tables below a folder of results, by column, to compare two states of the code.

    python -m tests.digests results > before.json     # then change the code, run again
    python -m tests.digests results --against before.json

Compared on one machine only: bits differ between processors. Times, memory and what is computed
from them (ratios, ledger, measurements) are left out; a column that only has another name now is
listed as renamed, not as changed.
"""

import argparse
import hashlib
import json
import re
import sys
from pathlib import Path

import pandas as pd

# Columns that hold times, memory and counters of the machine.
MEASURED = re.compile(r"(?:_s|_mb|_ms|_per_s|faults)$|^(?:cost|costs|seconds|speed|ratio)")
# Tables made of such columns.
OF_COSTS = re.compile(r"(measurements|ratios|ledger|jobs|costs|ladder|budgets|rungs)\.")


def column_digests(table: pd.DataFrame) -> dict[str, str]:
    """Digest of each column's values, in the order of rows sorted by all of them.

    `order of rows` is the digest of the order in which they stand.
    """
    for column in {"metric", "quantity"} & set(table.columns):
        table = table[~table[column].astype(str).str.contains(MEASURED)]
    names = [name for name in table.columns if not MEASURED.search(name)]
    texts = [table[name].map(lambda value: repr(_plain(value))).tolist() for name in names]
    rows = list(zip(*texts, strict=True))
    columns = zip(*sorted(rows), strict=True) if rows else [()] * len(names)
    return dict(zip(names, map(_digest, columns), strict=True)) | {ORDER: _digest(rows)}


def _digest(values: object) -> str:
    return hashlib.sha256(repr(values).encode()).hexdigest()[:16]


ORDER = "order of rows"


def _plain(value: object) -> object:
    """Arrays in cells as lists, so that their text has every value."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    return "" if value is None or value != value else value


def tables(folder: Path) -> dict[str, dict[str, str]]:
    """Column digests of each CSV and Parquet file below a folder of results, by path."""
    read = {".csv": pd.read_csv, ".parquet": pd.read_parquet}
    files = sorted(file for file in folder.rglob("*") if file.suffix in read)
    return {
        str(file.relative_to(folder)): column_digests(_table(file, read[file.suffix]))
        for file in files
        if not OF_COSTS.search(file.name) and "records" not in file.parts
    }


def _table(file: Path, read: object) -> pd.DataFrame:
    try:
        return read(file)
    except pd.errors.EmptyDataError:
        return pd.DataFrame()


def differences(before: dict, after: dict) -> tuple[list[str], list[str]]:
    """Sentences of what has changed, and of what only has another name."""
    changed = [f"{path}: is gone" for path in before.keys() - after.keys()]
    changed += [f"{path}: is new" for path in after.keys() - before.keys()]
    renamed = []
    for path in sorted(before.keys() & after.keys()):
        old, new = dict(before[path]), dict(after[path])
        if old.pop(ORDER) != new.pop(ORDER) and old == new:
            renamed.append(f"{path}: rows stand in another order")
        gone = {name: old[name] for name in old if name not in new}
        for name in new:
            if name in old and new[name] != old[name]:
                changed.append(f"{path}: {name} differs")
            elif name not in old:
                was = next((other for other in gone if gone[other] == new[name]), None)
                gone.pop(was, None)
                told = renamed if was else changed
                told.append(f"{path}: {name} was {was}" if was else f"{path}: {name} is new")
        changed += [f"{path}: {name} is gone" for name in gone]
    return sorted(changed), renamed


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--against", type=Path)
    args = parser.parse_args()
    found = tables(args.results)
    if not args.against:
        json.dump(found, sys.stdout, indent=1)
        sys.exit()
    changed, renamed = differences(json.loads(args.against.read_text()), found)
    print(*[f"changed: {line}" for line in changed], sep="\n")
    print(*[f"renamed: {line}" for line in renamed], sep="\n")
    print(f"{len(found)} tables, {len(changed)} changes, {len(renamed)} renamed columns")
    sys.exit(bool(changed))
