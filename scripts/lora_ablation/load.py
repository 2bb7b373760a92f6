"""Read one shard of adapters: tensors/{shard}.npy, tensors/{shard}.json, index/{shard}.parquet.

Index columns: row (in the data source), name, label, group (null where unknown), sha256 (of the
row's float32 bytes), scale (alpha/r of each down/up pair). A fault ends in one sentence, and no
file.
"""

import sys
from pathlib import Path

from scripts.lib.faults import LoadError
from scripts.lib.stage import arguments
from scripts.lora_ablation.data.sources import read
from scripts.lora_ablation.data.store import write_shard


def load(spec: dict, tensors: Path, layout: Path, index: Path) -> None:
    """Read adapters spec["start"]..spec["stop"]-1 of spec["source"] and write them."""
    shard = read(spec["source"], spec["seed"], spec["start"], spec["stop"])
    write_shard(shard, tensors, layout, index)


if __name__ == "__main__":
    args = arguments(tensors=Path, layout=Path, index=Path)
    try:
        load(args.spec, args.tensors, args.layout, args.index)
    except LoadError as error:
        sys.exit(str(error))
