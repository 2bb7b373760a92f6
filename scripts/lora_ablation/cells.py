"""From a training job, feature files and the index to what each cell trains on."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from scripts.lora_ablation.adapters.store import read_tensors
from scripts.lora_ablation.layout import DOWN, Layout
from scripts.lora_ablation.representations.table import read_family
from scripts.lora_ablation.training.data import Cell, check_classes, parts_of


def by_family(files: list[Path]) -> dict[str, list[Path]]:
    """Shards' files in their order, by the folder that names their family."""
    found: dict[str, list[Path]] = {}
    for path in files:
        found.setdefault(path.parent.name, []).append(path)
    return found


def weights(files: list[Path], layout: Layout, tensors: list[int]) -> np.ndarray:
    """The tensors themselves, float32 (n, scalars), for `flat_vec`."""
    chosen = np.zeros(layout.width, bool)
    for tensor in tensors:
        chosen[layout.offsets[tensor] : layout.offsets[tensor + 1]] = True
    return np.concatenate([read_tensors(path)[:, chosen] for path in files])


def features(
    files: list[Path], layout: Layout, tensors: list[int], columns: list[list], legacy_cond: bool
) -> np.ndarray:
    """Features float32 (n, tensors x numbers), tensor by tensor, of a column selection.

    `columns` has [family, number, position]. With `legacy_cond` the condition number is 1 where
    the tenth singular value is 0, as in the source's optimised script.
    """
    paths = by_family(files)
    place = {tensor: place for place, tensor in enumerate(tensors)}
    downs = [i for i, name in enumerate(layout.names) if name.endswith(DOWN)]
    parts = {}
    for family in dict.fromkeys(family for family, _, _ in columns):
        read = np.concatenate([read_family(path) for path in paths[family]])
        if read.shape[1] == len(layout.names):
            parts[family] = read[:, tensors]
        else:  # a family of pairs
            parts[family] = read[:, [pair for pair, down in enumerate(downs) if down in place]]
    at = {number: position for family, number, position in columns if family == "spectral"}
    if legacy_cond and "cond" in at:
        spectral = parts["spectral"]
        spectral[..., at["cond"]][spectral[..., at["s10"]] <= 1e-10] = 1
    chosen = [parts[family][..., position] for family, _, position in columns]
    return np.stack(chosen, axis=2).reshape(len(chosen[0]), -1)


def cell_jobs(job: dict) -> list[dict]:
    """What the job says of each of its cells by itself."""
    shared = {name: value for name, value in job.items() if name != "cells"}
    return [shared | cell for cell in job["cells"]]


def read_cell(spec: dict, layout: Layout, index: Path, files: list[Path]) -> Cell:
    """The cell of a job of one; classes are coded in alphabetical order."""
    table = pq.read_table(index, columns=["label", "split"])
    classes, y = np.unique(np.array(table["label"].to_pylist()), return_inverse=True)
    tensors = layout.selected(spec["tensors"], spec["seed"])
    x = (
        features(files, layout, tensors, spec["columns"], spec["train"]["legacy_cond"])
        if spec["columns"]
        else weights(files, layout, tensors)
    )
    _, _, _, share, _ = spec["units"][0]
    parts = parts_of(table["split"].to_pylist(), share, spec["seed"])
    cell = Cell(x, y, classes.tolist(), parts)
    check_classes(cell, share)
    return cell
