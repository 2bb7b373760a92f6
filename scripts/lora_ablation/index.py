"""Join the shards' indexes and split the adapters: index.parquet.

Columns: row, name, label, group, sha256, split (train, val or test).
"""

import logging
from pathlib import Path

import pyarrow as pa

from scripts.lib.faults import LoadError
from scripts.lib.stage import stage
from scripts.lib.table_files import read_table, write_table
from scripts.lora_ablation.data.layout import check_layout
from scripts.lora_ablation.data.split import check_classes, split
from scripts.lora_ablation.data.store import read_layout
from scripts.lora_ablation.specs import IndexJob, SplitKind

COLUMNS = ["row", "name", "label", "group", "sha256"]


def build(indexes: list[Path], layouts: list[Path], kind: SplitKind) -> pa.Table:
    """All adapters in the order of their rows, with their split; LoadError if they do not fit."""
    expected = read_layout(layouts[0])
    for path in layouts[1:]:
        check_layout(read_layout(path), expected, str(path), str(layouts[0]))
    tables = [read_table(path, columns=COLUMNS) for path in indexes]
    table = pa.concat_tables(tables).replace_schema_metadata(None).sort_by("row")
    if table["row"].to_pylist() != list(range(len(table))):
        raise LoadError(f"The shards hold {len(table)} adapters that are not rows 0, 1, 2...")
    labels = table["label"].to_pylist()
    parts = split(kind, labels, table["group"].to_pylist())
    check_classes(labels, parts.tolist())
    if repeated := len(table) - len(set(table["sha256"].to_pylist())):
        logging.warning("%d of %d adapters repeat another one.", repeated, len(table))
    return table.append_column("split", pa.array(parts.tolist(), pa.string()))


def main(spec: IndexJob, indexes: list[Path], layouts: list[Path], index: Path) -> None:
    table = build(indexes, layouts, spec.split)
    write_table(index, dict(zip(table.column_names, table.columns, strict=True)))


if __name__ == "__main__":
    stage(main)
