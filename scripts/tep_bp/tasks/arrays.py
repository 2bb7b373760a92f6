"""A task that a user brings: arrays of an .npz file."""

from pathlib import Path

import numpy as np

from scripts.lib.faults import LoadError
from scripts.lib.foreign_arrays import arrays
from scripts.tep_bp.tasks.samples import Samples, check_classes, samples


def read(task: dict) -> Samples:
    """Samples of the arrays `x` and `y` of the file `path`; `x_test`, `y_test` if it has them.

    Raises LoadError.
    """
    path = Path(task["path"])
    found = arrays(path, ("x", "y"), ("x_test", "y_test"))
    if ("x_test" in found) != ("y_test" in found):
        raise LoadError(f"{path}: has only one of the arrays x_test and y_test.")
    if "x_test" not in found:
        return samples(path.stem, found["x"], found["y"], str(path))
    return joined(path.stem, *found.values(), str(path))


def joined(
    name: str, x: np.ndarray, y: np.ndarray, x_test: np.ndarray, y_test: np.ndarray, where: str
) -> Samples:
    """Samples whose test set is kept apart; LoadError unless both parts are alike."""
    if x.shape[1:] != x_test.shape[1:] or x.dtype != x_test.dtype:
        raise LoadError(
            f"{where}: training samples are {x.shape[1:]} of {x.dtype} and test samples "
            f"{x_test.shape[1:]} of {x_test.dtype}; expected the same."
        )
    for part, rows, classes in (("training", x, y), ("test", x_test, y_test)):
        if rows.ndim < 2 or rows.shape[:1] != classes.shape or not len(rows):
            raise LoadError(
                f"{where}: the {part} set has samples {rows.shape} and classes {classes.shape}; "
                "expected (N, D) and (N,)."
            )
        check_classes(classes, where)
    x, y = np.concatenate([x, x_test]), np.concatenate([y, y_test])
    return samples(name, x, y, where, own_test=len(x_test))
