"""What one cell trains on: features, classes, rows of each part, standardised columns."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from scripts.lib.faults import LoadError
from scripts.lib.parts import rows_of
from scripts.lib.seeds import numpy_rng
from scripts.lib.spec import array_digest, digest
from scripts.lib.table_files import read_table
from scripts.lora_ablation.data.layout import DOWN, Layout
from scripts.lora_ablation.data.split import PARTS
from scripts.lora_ablation.data.store import read_family, read_tensors
from scripts.lora_ablation.specs import Column, TrainJob

# Columns that vary less than this, relative to 1 + |mean|, hold rounding noise
# (docs/studies/lora_ablation.md, Rank 1).
NEAR_CONSTANT = 1e-6
AT_ONCE = 256  # columns whose moments are computed together


@dataclass
class Cell:
    """Features (n, D) float32 as loaded, class codes (n,), names of the classes, rows by part.

    `parts` maps train, val and test to row numbers; `train` is already limited to the share.
    """

    x: np.ndarray
    y: np.ndarray
    classes: list[str]
    parts: dict[str, np.ndarray]

    def digest(self) -> str:
        """Of all that is trained on: finished runs are reused only on the same data."""
        arrays = array_digest(self.x, self.y, *self.parts.values())
        return digest(arrays, list(self.parts), self.classes)


def parts_of(split: list[str], share: int, seed: int) -> dict[str, np.ndarray]:
    """Rows of train, val and test; `share` percent of the training rows, nested in share.

    The order in which training rows enter is drawn by the stream (seed, "lora_ablation",
    "subset"). LoadError unless the split covers all rows with three parts, and the share is two
    rows or more.
    """
    parts = rows_of(split, PARTS, "The index of the adapters")
    if share < 100:
        order = numpy_rng(seed, "lora_ablation", "subset").permutation(parts["train"])
        kept = round(len(order) * share / 100)
        if kept < 2:
            raise LoadError(
                f"A share of {share} % of {len(order)} training adapters is {kept}; expected 2 or "
                "more, so use a larger share in curves.shares or more adapters."
            )
        parts["train"] = np.sort(order[:kept])
    return parts


def check_trained_classes(cell: Cell, share: int) -> None:
    """LoadError unless a share of the training rows has two classes or more.

    Classes that it lost are named in the log: that they cannot be learnt is what a curve shows.
    """
    left = np.unique(cell.y[cell.parts["train"]])
    if len(left) < 2:
        raise LoadError(
            f"A share of {share} % of the training adapters has class {cell.classes[left[0]]!r} "
            "only; use a larger share in curves.shares or more adapters."
        )
    if lost := len(cell.classes) - len(left):
        logging.warning(
            "A share of %d %% of the training adapters has none of %d of the %d classes.",
            *(share, lost, len(cell.classes)),
        )


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
    files: list[Path], layout: Layout, tensors: list[int], columns: list[Column], legacy_cond: bool
) -> np.ndarray:
    """Features float32 (n, tensors x numbers), tensor by tensor, of a column selection.

    With `legacy_cond` the condition number is 1 where
    the tenth singular value is 0, as in the original's optimised script.
    """
    paths, families = by_family(files), dict.fromkeys(column.family for column in columns)
    place = {tensor: place for place, tensor in enumerate(tensors)}
    downs = [i for i, name in enumerate(layout.names) if name.endswith(DOWN)]
    pairs = [pair for pair, down in enumerate(downs) if down in place]
    at = {c.number: c.position for c in columns if c.family == "spectral"}
    shards = list(zip(*(paths[family] for family in families), strict=True))
    # Shard by shard into its place, so that memory is that of the features and of one shard.
    rows = [pq.read_metadata(first).num_rows for first, *_ in shards]
    found, start = None, 0
    for shard, n in zip(shards, rows, strict=True):
        parts = {}
        for family, path in zip(families, shard, strict=True):
            read = read_family(path)
            parts[family] = read[:, tensors if read.shape[1] == len(layout.names) else pairs]
        if legacy_cond and "cond" in at:
            spectral = parts["spectral"]
            spectral[..., at["cond"]][spectral[..., at["s10"]] <= 1e-10] = 1
        chosen = [parts[column.family][..., column.position] for column in columns]
        if found is None:
            found = np.empty((sum(rows), *chosen[0].shape[1:], len(columns)), np.float32)
        np.stack(chosen, axis=2, out=found[start : start + n])
        start += n
    return found.reshape(len(found), -1)


def read_cell(job: TrainJob, layout: Layout, index: Path, files: list[Path]) -> Cell:
    """The cell of a job of one; classes are coded in alphabetical order."""
    table = read_table(index, columns=["label", "split"])
    classes, y = np.unique(np.array(table["label"].to_pylist()), return_inverse=True)
    _, _, selection, share, _ = job.units[0]
    tensors = layout.selected(job.selection or selection, job.seed, job.layers)
    x = (
        features(files, layout, tensors, job.columns, job.train.legacy_cond)
        if job.columns
        else weights(files, layout, tensors)
    )
    parts = parts_of(table["split"].to_pylist(), share, job.seed)
    cell = Cell(x, y, classes.tolist(), parts)
    check_trained_classes(cell, share)
    return cell


@dataclass
class Standardisation:
    """Column means and scales (float32) and `kept`, the columns that are not near-constant."""

    mean: np.ndarray
    scale: np.ndarray
    kept: np.ndarray

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """(x - mean) / scale of the kept columns; a new array."""
        out = x[:, self.kept] - self.mean[self.kept]
        out /= self.scale[self.kept]
        return out


def near_constant(mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """Columns to mask: std <= 1e-6 (|mean| + 1)."""
    return std <= NEAR_CONSTANT * (np.abs(mean) + 1)


def standardisation(x: np.ndarray, mask: bool) -> Standardisation:
    """Standardisation by the rows x, float32 (n, D): moments in float64, ddof 0.

    With `mask`, near-constant columns are not kept; without it (`legacy`) they are scaled to
    unit variance like the others, constant ones by 1 as scikit-learn does.
    """
    mean, squares = (np.empty(x.shape[1]) for _ in range(2))
    # Some columns at a time: squares of all, in float64, would be twice as large as the features.
    for start in range(0, x.shape[1], AT_ONCE):
        part = x[:, start : start + AT_ONCE].astype(np.float64)
        part.mean(0, out=mean[start : start + AT_ONCE])
        np.square(part, out=part).mean(0, out=squares[start : start + AT_ONCE])
    std = np.sqrt(np.maximum(squares - mean**2, 0))
    # The difference of squares cancels where std << |mean|: those columns are done in full.
    doubtful = std <= 1e-4 * np.abs(mean)
    std[doubtful] = x[:, doubtful].std(0, dtype=np.float64)
    kept = ~near_constant(mean, std) if mask else np.ones(len(mean), bool)
    scale = np.where(std <= 10 * np.finfo(np.float64).eps * np.abs(mean), 1.0, std)
    return Standardisation(mean.astype(np.float32), scale.astype(np.float32), kept)
