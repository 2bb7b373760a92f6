"""The tensor store: a shard on disk, and how the rest of the study reads it."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa

from scripts.lib.files import replacing
from scripts.lib.tables import write_table
from scripts.lora_ablation.adapters.shard import Shard
from scripts.lora_ablation.layout import Layout

INDEX = {
    "row": pa.int64(),
    "name": pa.string(),
    "label": pa.string(),
    "group": pa.string(),
    "sha256": pa.string(),
    "scale": pa.list_(pa.float32()),
}


def write_shard(shard: Shard, tensors: Path, layout: Path, index: Path) -> None:
    """Write a shard's matrix (.npy), layout (.json) and index (.parquet); each whole or absent."""
    values = [shard.rows, shard.names, shard.labels, shard.groups, shard.digests()]
    values.append(shard.scales.tolist())
    columns = {
        name: pa.array(list(column), kind)
        for (name, kind), column in zip(INDEX.items(), values, strict=True)
    }
    # A file object: given a path, NumPy would append .npy to the temporary name.
    with replacing(tensors) as temporary, temporary.open("wb") as file:
        np.save(file, shard.matrix, allow_pickle=False)
    with replacing(layout) as temporary:
        temporary.write_text(json.dumps(shard.layout.to_json()) + "\n", encoding="utf-8")
    write_table(index, columns)


def read_tensors(path: Path) -> np.ndarray:
    """A shard's matrix, float32 [rows, layout.width], memory-mapped and read-only."""
    return np.load(path, mmap_mode="r", allow_pickle=False)


def read_layout(path: Path) -> Layout:
    """The layout that was written beside a shard's matrix."""
    return Layout.from_json(json.loads(path.read_text(encoding="utf-8")))
