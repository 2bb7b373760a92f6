"""Numbers of one family for every tensor, or every down/up pair, of every adapter.

Writes features/<family>.parquet: `row`, and the family's k numbers of each tensor side by side.
"""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import numpy as np

from scripts.lib.faults import ContractError
from scripts.lib.progress import progress
from scripts.lib.stage import stage
from scripts.lib.table_files import read_table
from scripts.lora_ablation.data.layout import Layout
from scripts.lora_ablation.data.store import ROW_GROUP, read_layout, read_tensors, write_family
from scripts.lora_ablation.representations.grouped import family_features, pair_features
from scripts.lora_ablation.specs import FamilyJob


def blocks(
    job: FamilyJob, matrix: np.ndarray, layout: Layout, scales: np.ndarray | None
) -> Iterator[np.ndarray]:
    """Features of ROW_GROUP adapters at a time, float32 [<= ROW_GROUP, members * k].

    scales [rows, pairs] only if `job.pairs`. The module is imported by name: the rule stamps it by
    path, so that an edit of one family recomputes that family only.
    """
    module = import_module(f"scripts.lora_ablation.representations.{job.module}")
    for start in range(0, len(matrix), ROW_GROUP):
        rows = slice(start, start + ROW_GROUP)
        if job.device != "cpu":
            found = module.numbers(matrix[rows], layout, [job.family], job.device)
            yield found[job.family].reshape(len(matrix[rows]), -1)
        elif job.pairs:
            yield pair_features(matrix[rows], layout, scales[rows], module.compute, len(job.names))
        else:
            yield family_features(matrix[rows], layout, module.compute, len(job.names))


def stored(tensors: Path, layout: Path, index: Path, pairs: bool) -> tuple:
    """Matrix (a memory map), layout, row numbers and, for pairs, their scales; checked to fit."""
    matrix, shape = read_tensors(tensors), read_layout(layout)
    table = read_table(index, columns=["row", "scale"] if pairs else ["row"])
    if matrix.shape != (len(table), shape.width):
        raise ContractError(
            f"{tensors}: {matrix.shape[0]} adapters of {matrix.shape[1]} values; {index.name} and "
            f"{layout.name} have {len(table)} of {shape.width}. Delete them and load again."
        )
    scales = np.array(table["scale"].to_pylist(), np.float32) if pairs else None
    return matrix, shape, table["row"].to_numpy(), scales


def main(spec: FamilyJob, tensors: Path, layout: Path, index: Path, features: Path) -> None:
    matrix, shape, rows, scales = stored(tensors, layout, index, spec.pairs)
    label = f"{spec.family}, {len(rows)} adapters, {ROW_GROUP} a unit"
    computed = blocks(spec, matrix, shape, scales)
    numbers = progress(computed, -(-len(matrix) // ROW_GROUP), label)
    write_family(features, spec.family, len(spec.names), rows, numbers)


if __name__ == "__main__":
    stage(main)
