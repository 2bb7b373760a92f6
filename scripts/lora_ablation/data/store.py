"""A shard of adapters in memory, and the study's own files: tensors, layouts, features.

The tensor store is a .npy file a shard, which is mapped into memory; features are Parquet with a
fixed-size list of numbers for each adapter.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from scripts.lib.faults import ContractError, LoadError
from scripts.lib.files import replacing
from scripts.lib.provenance import provenance
from scripts.lib.table_files import read_metadata, read_table, write_table
from scripts.lora_ablation.data.layout import DOWN, Layout, stems

INDEX = {
    "row": pa.int64(),
    "name": pa.string(),
    "label": pa.string(),
    "group": pa.string(),
    "sha256": pa.string(),
    "scale": pa.list_(pa.float32()),
}
ROW_GROUP = 1024  # adapters of a row group of features


@dataclass(frozen=True)
class Shard:
    """Adapters `rows` of a data source: `matrix` float32 [rows, layout.width], C-order.

    `scales` is float32 [rows, pairs], alpha/r of each down/up pair in the order of `stems(layout)`;
    `groups` holds None where a source does not say what an adapter belongs to; `reading` says how
    what could be read in two ways was read.
    """

    matrix: np.ndarray
    layout: Layout
    rows: range
    names: list[str]
    labels: list[str]
    groups: list[str | None]
    scales: np.ndarray
    reading: dict[str, str] = field(default_factory=dict)

    def digests(self) -> list[str]:
        """SHA-256 of each adapter's float32 payload."""
        return [hashlib.sha256(row).hexdigest() for row in self.matrix]


def check_finite(matrix: np.ndarray, layout: Layout, names: Sequence[str]) -> None:
    """LoadError for the first adapter with NaN or infinite values."""
    # One sum a row is a single pass without a temporary; an overflow only costs the second look.
    with np.errstate(invalid="ignore", over="ignore"):
        suspects = np.flatnonzero(~np.isfinite(matrix.sum(axis=1)))
    for i in suspects:
        bad = np.flatnonzero(~np.isfinite(matrix[i]))
        if bad.size:
            layer = np.searchsorted(layout.offsets, bad[0], side="right") - 1
            raise LoadError(
                f"Adapter {names[i]}: layer {layout.names[layer]} holds {matrix[i, bad[0]]}; "
                "expected finite numbers."
            )


def constant_scales(layout: Layout, rows: int, alpha: float | None) -> np.ndarray:
    """Scales of adapters that all have the same alpha; None stands for alpha = rank."""
    if alpha is None:
        return np.ones((rows, len(stems(layout))), np.float32)
    shapes = dict(zip(layout.names, layout.shapes, strict=True))
    scales = [alpha / shapes[module + DOWN][0] for module in stems(layout)]
    return np.tile(np.asarray(scales, np.float32), (rows, 1))


def stated_scale(alpha: float | None) -> dict[str, str]:
    """How scales were read of a data source whose configuration may state alpha."""
    told = f"{alpha:g} / r, by the configuration" if alpha else "1, as no alpha is configured"
    return {"alpha / r": told}


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
    write_table(index, columns, reading=shard.reading)


def read_tensors(path: Path) -> np.ndarray:
    """A shard's matrix, float32 [rows, layout.width], memory-mapped and read-only."""
    return np.load(path, mmap_mode="r", allow_pickle=False)


def read_layout(path: Path) -> Layout:
    """The layout that was written beside a shard's matrix."""
    return Layout.from_json(json.loads(path.read_text(encoding="utf-8")))


def write_family(
    path: Path, family: str, k: int, rows: np.ndarray, blocks: Iterable[np.ndarray]
) -> None:
    """Write `row` (int64) and `family` (float32 list, k numbers a tensor) as blocks come.

    rows [n], blocks float32 [<= n, width] that add up to n rows; each is one row group, so memory
    is that of a block. No dictionary, statistics or compression: random numbers do not compress
    (docs/studies/lora_ablation.md, Files). Raises ContractError if rows are left over.
    """
    blocks = iter(blocks)
    block = next(blocks)
    values = pa.field("item", pa.float32(), nullable=False)
    fields = [
        pa.field("row", pa.int64(), nullable=False),
        pa.field(family, pa.list_(values, block.shape[1]), nullable=False),
    ]
    notes = provenance() | {"family": family, "k": k}
    schema = pa.schema(fields, {"isospeed": json.dumps(notes)})
    options = {"use_dictionary": False, "write_statistics": False, "compression": "none"}
    written = 0
    with replacing(path) as temporary, pq.ParquetWriter(temporary, schema, **options) as writer:
        while block is not None:
            flat = pa.array(np.ascontiguousarray(block, np.float32).reshape(-1))
            lists = pa.FixedSizeListArray.from_arrays(flat, type=fields[1].type)
            index = pa.array(rows[written : written + len(block)], pa.int64())
            writer.write_table(pa.table([index, lists], schema=schema))
            written += len(block)
            block = next(blocks, None)
        if written != len(rows):
            raise ContractError(f"{path}: {written} rows of features for {len(rows)} adapters.")


def read_family(path: Path) -> np.ndarray:
    """The numbers of a family file, float32 [rows, tensors, k], a view of what Arrow read."""
    notes = read_metadata(path)
    column = read_table(path, columns=[notes["family"]]).column(0).combine_chunks()
    numbers = column.flatten().to_numpy(zero_copy_only=True)
    return numbers.reshape(len(column), -1, notes["k"])
