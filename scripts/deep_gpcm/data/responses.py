"""Answers of students to questions in the order of time: what every data source is read into."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from scripts.lib.faults import LoadError

# pandas is imported where tables are made: every start of the workflow imports this module.
if TYPE_CHECKING:
    import pandas as pd

LONGEST = np.iinfo(np.int16).max + 1  # answers in a sequence
MOST_CATEGORIES = np.iinfo(np.int8).max
DTYPES = {"student": np.int32, "t": np.int16, "question": np.int32, "response": np.int8}


@dataclass(frozen=True)
class Responses:
    """All answers of a data source, (n,) each, sorted by student and time.

    `student` int32 code from 0; `t` int16 place in the sequence, from 0; `question` int32 from 1;
    `response` int8 from 0. `students` has the columns student_id, name, theta; `items` question_id,
    name, categories, alpha, beta_1 ... of the largest number of categories; NaN is unknown.
    `reading` says how what can be read in two ways was read: a phrase by what it is about.
    """

    student: np.ndarray
    t: np.ndarray
    question: np.ndarray
    response: np.ndarray
    students: "pd.DataFrame"
    items: "pd.DataFrame"
    reading: dict[str, str] = field(default_factory=dict)


def student_table(names: Sequence, theta: np.ndarray | None = None) -> "pd.DataFrame":
    """The students in the order of their codes; abilities (S,) where they are known."""
    import pandas as pd

    columns = {
        "student_id": np.arange(len(names), dtype=np.int32),
        "name": [str(name) for name in names],
        "theta": np.full(len(names), np.nan) if theta is None else np.asarray(theta, float),
    }
    return pd.DataFrame(columns)


def item_table(
    names: Sequence,
    categories: np.ndarray,
    alpha: np.ndarray | None = None,
    beta: np.ndarray | None = None,
) -> "pd.DataFrame":
    """The questions in the order of their ids; alpha (Q,) and beta (Q, K - 1) where known."""
    import pandas as pd

    thresholds = (len(names), int(np.max(categories)) - 1)
    beta = np.full(thresholds, np.nan) if beta is None else np.asarray(beta, float)
    columns = {
        "question_id": np.arange(1, len(names) + 1, dtype=np.int32),
        "name": [str(name) for name in names],
        "categories": np.asarray(categories).astype(np.int64),
        "alpha": np.full(len(names), np.nan) if alpha is None else np.asarray(alpha, float),
    }
    return pd.DataFrame(columns | {f"beta_{h}": b for h, b in enumerate(beta.T, start=1)})


def assemble(
    student: np.ndarray,
    question: np.ndarray,
    response: np.ndarray,
    students: "pd.DataFrame",
    items: "pd.DataFrame",
    window: int | None = None,
    reading: dict[str, str] | None = None,
) -> Responses:
    """Responses of integer columns (n,) that are sorted by student and time; checked.

    `window` cuts the answers of a student into sequences of at most so many, the last one being
    shorter; `t` starts again at 0 in each. Raises LoadError.
    """
    if not len(student):
        raise LoadError("The source has no answers.")
    first = np.flatnonzero(np.diff(student, prepend=-1))
    lengths = np.diff(first, append=len(student))
    if window is None and lengths.max() > LONGEST:
        name = students["name"][int(student[first[lengths.argmax()]])]
        raise LoadError(
            f"Student {name} has {lengths.max()} answers and a sequence at most {LONGEST}; "
            "give the source a window."
        )
    if not (window is None or 1 <= window <= LONGEST):
        raise LoadError(f"The window is {window}; use 1 to {LONGEST} answers.")
    t = np.arange(len(student)) - np.repeat(first, lengths)
    columns = {"student": student, "t": t if window is None else t % window}
    columns |= {"question": question, "response": response}
    # Checked before they are narrowed, so that nothing wraps round.
    check(Responses(**columns, students=students, items=items))
    narrow = {name: columns[name].astype(dtype) for name, dtype in DTYPES.items()}
    read = dict(reading or {})
    if window is not None:
        read["windows"] = f"logs are cut after every {window} answers, each part traced anew"
    return Responses(**narrow, students=students, items=items, reading=read)


def check(found: Responses) -> None:
    """LoadError unless the answers are in order and belong to known students and items."""
    if {len(getattr(found, name)) for name in DTYPES} != {len(found.student)}:
        raise LoadError("The columns of the source differ in length.")
    if not len(found.student):
        raise LoadError("The source has no answers.")
    _check_items(found.items)
    _check_order(found)
    _check_answers(found)


def _check_items(items: "pd.DataFrame") -> None:
    categories = items["categories"].to_numpy()
    if (items["question_id"].to_numpy() != np.arange(1, len(items) + 1)).any():
        raise LoadError("The items are not numbered 1, 2, 3...")
    if (bad := np.flatnonzero((categories < 2) | (categories > MOST_CATEGORIES))).size:
        raise LoadError(
            f"Item {items['name'][bad[0]]} has {categories[bad[0]]} categories; "
            f"expected 2 to {MOST_CATEGORIES}."
        )


def _check_order(found: Responses) -> None:
    """Every student has answers, and each answer follows one or starts a sequence."""
    student, t = found.student.astype(np.int64), found.t.astype(np.int64)
    step, later = np.diff(student), np.diff(t) == 1
    ordered = (step == 0) & (later | (t[1:] == 0)) | (step == 1) & (t[1:] == 0)
    if student[0] != 0 or t[0] != 0 or not ordered.all():
        row = 0 if student[0] != 0 or t[0] != 0 else int(np.argmin(ordered)) + 1
        raise LoadError(
            f"Answer {row} (student {student[row]}, t {t[row]}) is out of order; "
            "expected students 0, 1, 2... with times 0, 1, 2..."
        )
    known = found.students["student_id"].to_numpy()
    if not np.array_equal(known, np.arange(student[-1] + 1)):
        raise LoadError(f"There are {len(known)} students, and answers of {student[-1] + 1}.")


def _check_answers(found: Responses) -> None:
    categories = found.items["categories"].to_numpy()
    outside = (found.question < 1) | (found.question > len(categories))
    if outside.any():
        row = int(np.argmax(outside))
        raise LoadError(
            f"Answer {row} is to question {found.question[row]}; expected 1 to {len(categories)}."
        )
    allowed = categories[found.question - 1]
    outside = (found.response < 0) | (found.response >= allowed)
    if outside.any():
        row = int(np.argmax(outside))
        name = found.items["name"][found.question[row] - 1]
        raise LoadError(
            f"Answer {row}, to item {name}, is {found.response[row]}; "
            f"expected 0 to {allowed[row] - 1}."
        )


class CastError(ValueError):
    """The value in this `row` is none of the wanted types."""

    def __init__(self, row: int):
        super().__init__(row)
        self.row = row


def cast(values: pa.Array, *kinds: pa.DataType) -> pa.Array:
    """All values as the first of `kinds` that holds each of them without loss.

    Raises CastError with the first row that stops the kind that came furthest.
    """
    for kind in kinds:
        if _holds(values, kind):
            return values.cast(kind)
    raise CastError(max(_failing(values, kind) for kind in kinds))


def _holds(values: pa.Array, kind: pa.DataType) -> bool:
    try:
        values.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return False
    return True


def _failing(values: pa.Array, kind: pa.DataType) -> int:
    low, high = 0, len(values) - 1
    while low < high:
        middle = (low + high) // 2
        if _holds(values[: middle + 1], kind):
            low = middle + 1
        else:
            high = middle
    return low
