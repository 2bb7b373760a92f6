"""Samples and classes of a task, checked, before anything is split."""

from dataclasses import dataclass, field

import numpy as np

from scripts.lib.faults import LoadError

WORDS = "USb"  # kinds of arrays: text, bytes, True and False
NO_WORDS = ("", "nan")
SHOWN = 20  # names of classes in a sentence


@dataclass(frozen=True)
class Samples:
    """x (N, D) numbers as they are in the file, and y (N,) int64 classes from 0.

    The last `own_test` rows are a test set that the data source itself keeps apart. `image`: a
    sample had several axes. `names` has those of the classes; `reading` says how they were read, if
    in words.
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    own_test: int = 0
    image: bool = False
    names: list[str] = field(default_factory=list)

    @property
    def reading(self) -> dict[str, str]:
        first = ", ".join(self.names[:SHOWN])
        more = f" and {len(self.names) - SHOWN} more" if len(self.names) > SHOWN else ""
        return {"classes": f"words, in this order: {first}{more}"} if self.names else {}

    def called(self, number: int) -> str:
        """A class as its user knows it."""
        return self.names[number] if self.names else str(number)


def samples(name: str, x: np.ndarray, y: np.ndarray, where: str, own_test: int = 0) -> Samples:
    """Samples of numbers x (N, ...) and classes y (N,); `where` stands in a fault's sentence.

    Classes are whole numbers 0, 1, ..., or words (text, bytes in UTF-8, True and False), which are
    numbered in their order. Raises LoadError unless all numbers are finite float32 and there are
    two classes or more.
    """
    x, y = np.asarray(x), np.asarray(y)
    check_classes(y, where)
    if x.ndim < 2 or x.dtype.kind not in "biuf" or not x.size:
        raise LoadError(f"{where}: x has shape {x.shape} and type {x.dtype}; expected (N, D).")
    if len(x) != len(y):
        raise LoadError(f"{where}: x has {len(x)} samples and y has {len(y)}.")
    flat = x.reshape(len(x), -1)
    _check_numbers(flat, where)
    names, y = _numbered(y, where) if y.dtype.kind in WORDS else ([], y)
    return Samples(name, flat, _classes(y, names, where), own_test, x.ndim > 2, names)


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
    # Joined, numbers would become the words of their digits.
    kinds = [WORDS.find(classes.dtype.kind) for classes in (y, y_test)]
    if kinds[0] != kinds[1]:
        raise LoadError(
            f"{where}: y is {y.dtype} and y_test {y_test.dtype}; expected (N,) of whole numbers in "
            "both, or of words of one type."
        )
    x, y = np.concatenate([x, x_test]), np.concatenate([y, y_test])
    return samples(name, x, y, where, own_test=len(x_test))


def check_classes(y: np.ndarray, where: str) -> None:
    """LoadError unless y is (N,) of whole numbers or words."""
    if y.ndim != 1 or y.dtype.kind not in "iu" + WORDS:
        raise LoadError(
            f"{where}: y has shape {y.shape} and type {y.dtype}; expected (N,) of whole numbers "
            "or words."
        )


def _numbered(y: np.ndarray, where: str) -> tuple[list[str], np.ndarray]:
    """Names of the classes in their order, and the number of each sample's, (N,).

    Words that are all whole numbers are in the order of these.
    """
    if y.dtype.kind == "S":
        try:
            y = np.char.decode(y, "utf-8")
        except UnicodeDecodeError:
            raise LoadError(f"{where}: y holds bytes that are no UTF-8; save it as text.") from None
    words, numbers = np.unique(y.astype(str), return_inverse=True)
    for word in words:
        if word.strip().lower() in NO_WORDS:
            row = int(np.argmax(words[numbers] == word))
            raise LoadError(f"{where}: y[{row}] is {str(word)!r}, which names no class.")
    if all(word.lstrip("-").isdecimal() for word in words):
        order = np.array(sorted(range(len(words)), key=lambda i: (int(words[i]), words[i])))
        words, numbers = words[order], np.argsort(order)[numbers]
    return words.tolist(), numbers


def _check_numbers(x: np.ndarray, where: str) -> None:
    # Finite as float64 and too large for float32 is infinite here; the sentence names what it was.
    if x.dtype.kind != "f":
        return
    with np.errstate(over="ignore"):
        fits = np.isfinite(x.astype(np.float32))
    if not fits.all():
        row, column = np.argwhere(~fits)[0]
        raise LoadError(
            f"{where}: x[{row}, {column}] is {x[row, column]}; expected a finite float32."
        )


def _classes(y: np.ndarray, names: list[str], where: str) -> np.ndarray:
    found = np.unique(y)
    if len(found) < 2:
        one = names[0] if names else found[0]
        raise LoadError(f"{where}: all samples are of class {one}; expected two classes.")
    if (gap := np.flatnonzero(found != np.arange(len(found)))).size:
        raise LoadError(
            f"{where}: class {found[gap[0]]} stands where class {gap[0]} was expected; number "
            "the classes from 0 without gaps, or save them as words (y.astype(str))."
        )
    return y.astype(np.int64)
