"""Features of one family on disk: Parquet with a fixed-size list of numbers for each adapter."""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from scripts.lib.files import replacing
from scripts.lib.provenance import provenance
from scripts.lib.tables import ContractError, read_metadata

ROW_GROUP = 1024


def write_family(
    path: Path, family: str, rows: np.ndarray, blocks: Iterable[np.ndarray], spec: dict
) -> None:
    """Write `row` (int64) and `family` (float32 list, k numbers a tensor) as blocks come.

    rows [n], blocks float32 [<= n, width] that add up to n rows; each is one row group, so memory
    is that of a block. No dictionary, statistics or compression: random numbers do not compress
    (shared spec 6.5). Raises ContractError if rows are left over.
    """
    blocks = iter(blocks)
    block = next(blocks)
    values = pa.field("item", pa.float32(), nullable=False)
    fields = [
        pa.field("row", pa.int64(), nullable=False),
        pa.field(family, pa.list_(values, block.shape[1]), nullable=False),
    ]
    schema = pa.schema(fields, {"isospeed": json.dumps(provenance() | {"spec": spec})})
    options = {"use_dictionary": False, "write_statistics": False, "compression": "none"}
    done = 0
    with replacing(path) as temporary, pq.ParquetWriter(temporary, schema, **options) as writer:
        while block is not None:
            flat = pa.array(np.ascontiguousarray(block, np.float32).reshape(-1))
            lists = pa.FixedSizeListArray.from_arrays(flat, type=fields[1].type)
            index = pa.array(rows[done : done + len(block)], pa.int64())
            writer.write_table(pa.table([index, lists], schema=schema))
            done += len(block)
            block = next(blocks, None)
        if done != len(rows):
            raise ContractError(f"{path}: {done} rows of features for {len(rows)} adapters.")


def read_family(path: Path) -> np.ndarray:
    """The numbers of a family file, float32 [rows, tensors, k], a view of what Arrow read."""
    spec = read_metadata(path)["spec"]
    column = pq.read_table(path, columns=[spec["family"]]).column(0).combine_chunks()
    numbers = column.flatten().to_numpy(zero_copy_only=True)
    return numbers.reshape(len(column), -1, spec["k"])
