"""What one cell trains on: features, classes, the rows of each part of the split."""

import hashlib
from dataclasses import dataclass

import numpy as np
import torch

from scripts.lib.seeds import numpy_rng


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
        """SHA-256 of all that is trained on: finished runs are reused only on the same data."""
        found = hashlib.sha256(np.ascontiguousarray(self.x))
        for array in (self.y, *self.parts.values()):
            found.update(array.astype(np.int64).tobytes())
        found.update("/".join(self.classes).encode())
        return found.hexdigest()


def parts_of(split: list[str], share: int, seed: int) -> dict[str, np.ndarray]:
    """Rows of train, val and test; `share` percent of the training rows, nested in share.

    The order in which training rows enter is drawn by the stream (seed, "lora_ablation",
    "subset"). A `smoke` split (10 adapters or fewer) uses all rows for everything.
    """
    labels = np.array(split)
    if (labels == "smoke").all():
        return {part: np.arange(len(labels)) for part in ("train", "val", "test")}
    parts = {part: np.flatnonzero(labels == part) for part in ("train", "val", "test")}
    if share < 100:
        order = numpy_rng(seed, "lora_ablation", "subset").permutation(parts["train"])
        parts["train"] = np.sort(order[: max(2, round(len(order) * share / 100))])
    return parts


def batches(n: int, size: int, rng: torch.Generator) -> list[torch.Tensor]:
    """Positions of one epoch's batches, in the order of one `randperm`.

    Departs: a last batch of one row, at which the source's batch norm crashes, is left out.
    """
    parts = list(torch.randperm(n, generator=rng).split(size))
    return parts[:-1] if len(parts[-1]) == 1 and len(parts) > 1 else parts
