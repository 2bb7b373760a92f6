"""A task in one .npz file: name, x, y, train, val, test."""

from pathlib import Path

import numpy as np

from scripts.lib.faults import LoadError
from scripts.lib.files import replacing
from scripts.tep_bp.task import Task
from scripts.tep_bp.tasks.arrays import arrays

PARTS = ("train", "val", "test")


def write_task(path: Path, task: Task) -> None:
    """Write the file whole; equal tasks give equal bytes."""
    content = {"name": np.array(task.name), "x": task.x, "y": task.y} | task.parts
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **content)


def read_task(path: Path) -> Task:
    """The task that `write_task` wrote; LoadError if the file is anything else."""
    found = arrays(Path(path), ("name", "x", "y", *PARTS))
    x, y, parts = found["x"], found["y"], {name: found[name] for name in PARTS}
    rows = np.sort(np.concatenate(list(parts.values()), axis=None))
    if x.ndim != 2 or y.shape != x.shape[:1] or not np.array_equal(rows, np.arange(len(x))):
        raise LoadError(f"{path}: is no task of this workflow; delete it and run again.")
    return Task(str(found["name"]), x, y, int(y.max()) + 1, parts)
