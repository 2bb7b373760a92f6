"""What one cell trains on: features, classes, the rows of each part of the split."""

import logging
from dataclasses import dataclass

import numpy as np
import torch

from scripts.lib.faults import LoadError
from scripts.lib.parts import rows_of
from scripts.lib.seeds import numpy_rng
from scripts.lib.spec import array_digest, digest


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
    parts = rows_of(split, ("train", "val", "test"), "The index of the adapters")
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


def check_classes(cell: Cell, share: int) -> None:
    """LoadError unless a share of the training rows has two classes or more.

    Classes that it lost are told in the log: that they cannot be learnt is what a curve shows.
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


def batches(n: int, size: int, rng: torch.Generator) -> list[torch.Tensor]:
    """Positions of one epoch's batches, in the order of one `randperm`.

    Departs: a last batch of one row, at which the source's batch norm crashes, is left out.
    """
    parts = list(torch.randperm(n, generator=rng).split(size))
    return parts[:-1] if len(parts[-1]) == 1 and len(parts) > 1 else parts
