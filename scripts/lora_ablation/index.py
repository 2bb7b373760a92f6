"""Join the shards' indexes and split the adapters: index.parquet.

Columns: row, name, label, group, sha256, split (train, val or test). How the data were read is told
in tables/data.csv (what, how).
"""

import logging
from collections import Counter
from pathlib import Path

import pyarrow as pa

from scripts.lib.faults import LoadError
from scripts.lib.stage import stage
from scripts.lib.table_files import read_metadata, read_table, write_csv, write_table
from scripts.lora_ablation.data.families import family, stem
from scripts.lora_ablation.data.layout import Layout, check_layout
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


def readings(layout: Layout, shards: list[dict[str, str]], labels: list[str]) -> list[dict]:
    """How the adapters were read, one fact a row: network, selections, scales, what is left out."""
    modules = len({stem(name) for name in layout.names})
    roots = Counter(stem(name).split(".")[0] for name in layout.names) if layout.paired else {}
    parts = ", ".join(f"{count} of {root}" for root, count in roots.items())
    unit = "pairs of down and up" if layout.paired else "matrices"
    facts = {
        "network": family(layout.names).about,
        "tensors": f"{len(layout.names)} ({parts})" if len(roots) > 1 else str(len(layout.names)),
        "modules": f"{modules} {unit}, {layout.width:,} numbers",
        "selections": ", ".join(layout.patterns),
        "classes": f"{len(set(labels))}, of {len(labels)} adapters",
    }
    for key in dict.fromkeys(key for told in shards for key in told):
        found = dict.fromkeys(told[key] for told in shards if key in told)
        facts[key] = "; ".join(found)
    return [{"what": what, "how": how} for what, how in facts.items()]


def main(spec: IndexJob, indexes: list[Path], layouts: list[Path], index: Path, data: Path) -> None:
    table = build(indexes, layouts, spec.split)
    told = [read_metadata(path).get("reading", {}) for path in indexes]
    facts = readings(read_layout(layouts[0]), told, table["label"].to_pylist())
    for fact in facts:
        logging.info("%s: %s", fact["what"], fact["how"])
    write_csv(data, facts)
    write_table(index, dict(zip(table.column_names, table.columns, strict=True)))


if __name__ == "__main__":
    stage(main)
