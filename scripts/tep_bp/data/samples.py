"""Samples and classes of a task, checked, before anything is split."""

from dataclasses import dataclass

import numpy as np

from scripts.lib.faults import LoadError


@dataclass(frozen=True)
class Samples:
    """x (N, D) float32, or uint8 where 0 to 255 stands for 0 to 1; y (N,) int64 from 0.

    The last `own_test` rows are a test set that the data source itself keeps apart.
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    own_test: int = 0


def samples(name: str, x: np.ndarray, y: np.ndarray, where: str, own_test: int = 0) -> Samples:
    """Samples of numbers x (N, ...) and whole numbers y (N,); `where` stands in a fault's sentence.

    Bytes stay bytes, everything else becomes float32. Raises LoadError unless all numbers are
    finite and the classes are 0, 1, ... with two of them or more.
    """
    x, y = np.asarray(x), np.asarray(y)
    check_classes(y, where)
    if x.ndim < 2 or x.dtype.kind not in "biuf" or not x.size:
        raise LoadError(f"{where}: x has shape {x.shape} and type {x.dtype}; expected (N, D).")
    if len(x) != len(y):
        raise LoadError(f"{where}: x has {len(x)} samples and y has {len(y)}.")
    x = x.reshape(len(x), -1)
    return Samples(name, np.ascontiguousarray(_numbers(x, where)), _classes(y, where), own_test)


def with_test_set(
    name: str, x: np.ndarray, y: np.ndarray, x_test: np.ndarray, y_test: np.ndarray, where: str
) -> Samples:
    """Samples whose own test set is kept apart; LoadError unless both parts are alike."""
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


def check_classes(y: np.ndarray, where: str) -> None:
    """LoadError unless y is (N,) of whole numbers."""
    if y.ndim != 1 or y.dtype.kind not in "iu":
        raise LoadError(
            f"{where}: y has shape {y.shape} and type {y.dtype}; expected (N,) of whole numbers."
        )


def _numbers(x: np.ndarray, where: str) -> np.ndarray:
    if x.dtype == np.uint8:
        return x
    # Finite as float64 and too large for float32 is infinite here; the sentence names what it was.
    with np.errstate(over="ignore"):
        narrow = x.astype(np.float32)
    if not np.isfinite(narrow).all():
        row, column = np.argwhere(~np.isfinite(narrow))[0]
        raise LoadError(
            f"{where}: x[{row}, {column}] is {x[row, column]}; expected a finite float32."
        )
    return narrow


def _classes(y: np.ndarray, where: str) -> np.ndarray:
    found = np.unique(y)
    if len(found) < 2:
        raise LoadError(f"{where}: all samples are of class {found[0]}; expected two classes.")
    if (gap := np.flatnonzero(found != np.arange(len(found)))).size:
        raise LoadError(
            f"{where}: class {found[gap[0]]} stands where class {gap[0]} was expected; number "
            "the classes from 0 without gaps."
        )
    return y.astype(np.int64)
