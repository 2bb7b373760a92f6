"""One fold as its stages read it: answer sequences of each part, and what is known of the items."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from scripts.lib.faults import LoadError
from scripts.lib.parts import rows_of
from scripts.lib.spec import array_digest, digest
from scripts.lib.table_files import read_table

PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class Sequences:
    """Answers of some students, one student after the other, each in the order of time.

    `student` (S,) ids and `lengths` (S,) per sequence; `question` (n,) from 1 and `response` (n,)
    from 0 per answer, n = lengths.sum(); all int64. A student whose log is cut into windows has
    several sequences.
    """

    student: np.ndarray
    lengths: np.ndarray
    question: np.ndarray
    response: np.ndarray

    @property
    def starts(self) -> np.ndarray:
        """Where each sequence starts, (S,)."""
        return np.cumsum(self.lengths) - self.lengths

    @property
    def position(self) -> np.ndarray:
        """Place of each answer in its sequence, from 0, (n,)."""
        return np.arange(len(self.question)) - np.repeat(self.starts, self.lengths)


@dataclass(frozen=True)
class Fold:
    """Sequences by part; `levels` (questions,) is how many categories each question has."""

    parts: dict[str, Sequences]
    levels: np.ndarray

    def digest(self) -> str:
        """Of all that is trained and tested on: finished units are reused only on the same data."""
        names = ("student", "lengths", "question", "response")
        arrays = [getattr(part, name) for part in self.parts.values() for name in names]
        return digest(array_digest(*arrays, self.levels), list(self.parts))

    @property
    def questions(self) -> int:
        return len(self.levels)

    @property
    def categories(self) -> int:
        return int(self.levels.max())


def sequences(table: pa.Table) -> Sequences:
    """Rows (student_id, t, question_id, response), sorted by student and time, as sequences.

    A new sequence starts where the student changes or `t` starts again at 0.
    """
    student, t = (table[name].to_numpy().astype(np.int64) for name in ("student_id", "t"))
    first = np.flatnonzero(t == 0)
    return Sequences(
        student=student[first],
        lengths=np.diff(np.append(first, len(t))),
        question=table["question_id"].to_numpy().astype(np.int64),
        response=table["response"].to_numpy().astype(np.int64),
    )


def _check_students(student: np.ndarray, split: np.ndarray, path: Path) -> None:
    """LoadError if answers of one student are in two parts: the test would have been seen."""
    _, of = np.unique(split, return_inverse=True)
    both = np.unique(np.stack([student.astype(np.int64), of]), axis=1)[0]
    if (again := np.flatnonzero(np.diff(both) == 0)).size:
        raise LoadError(
            f"{path}: student {both[again[0]]} is in two parts; expected all answers in one."
        )


def read_fold(fold: Path, items: Path, protocol: str = "clean") -> Fold:
    """The parts of a fold file.

    `clean`: validation students are held out of the training ones. `original`: all of
    them train,
    and the test students are the validation set too, as the original does (optimistic).
    """
    table = read_table(fold)
    split = np.array(table["split"].to_pylist())
    rows_of(split, PARTS, str(fold))
    _check_students(table["student_id"].to_numpy(), split, fold)
    member = {part: split == part for part in PARTS}
    if protocol == "original":
        member |= {"train": member["train"] | member["val"], "val": member["test"]}
    return Fold(
        parts={part: sequences(table.filter(pa.array(rows))) for part, rows in member.items()},
        levels=read_table(items)["categories"].to_numpy().astype(np.int64),
    )
