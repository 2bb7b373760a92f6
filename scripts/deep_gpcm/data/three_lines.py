"""The 3-line text format of DKVMN and Deep-IRT: length, questions, responses of each student."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from scripts.deep_gpcm.data.responses import (
    CastError,
    Responses,
    assemble,
    cast,
    item_table,
    student_table,
)
from scripts.deep_gpcm.options import ThreeLines
from scripts.lib.faults import LoadError
from scripts.lib.foreign import foreign, parsed_json, text

LINES = ("length", "questions", "responses")
DECIMALS = 1e-3  # partial credits are printed with three decimals


@dataclass(frozen=True)
class _File:
    """Contents of one file: lengths int64 (S,), questions and responses (n,) as printed."""

    path: str
    lengths: np.ndarray
    questions: pa.Array
    responses: pa.Array

    def where(self, place: int, kind: str) -> str:
        """File and line of the answer at `place`: its question or its response."""
        student = int(np.searchsorted(np.cumsum(self.lengths), place, side="right"))
        return _where(self.path, student, kind)


def read(source: ThreeLines) -> Responses:
    """Students of all `files`, one file after the other (docs/studies/deep_gpcm.md, File formats).

    Ids are shifted to start at 1 (`id_base` says where the files start; the items' names are the
    ids as printed). Format OC: responses are categories; PC: they are category/(K - 1). `truth`, a
    JSON file, brings theta (in the order of the students), alpha and beta. Departs: the format is
    stated, not guessed, and numbers of questions and categories are not taken from the answers.
    Raises LoadError with file and line.
    """
    questions, categories, base = source.questions, source.categories, source.id_base
    files = [_parse(path) for path in source.files]
    decode = {"OC": _ordered, "PC": _partial}[source.format]
    lengths = np.concatenate([file.lengths for file in files])
    students = len(lengths)
    truth = _truth(source, students)
    return assemble(
        student=np.repeat(np.arange(students), lengths),
        question=np.concatenate([_shifted(file, questions, base) for file in files]),
        response=np.concatenate([decode(file, categories) for file in files]),
        students=student_table(range(students), truth.get("theta")),
        items=item_table(
            range(base, base + questions),
            np.full(questions, categories),
            alpha=truth.get("alpha"),
            beta=truth.get("beta"),
        ),
        window=source.window,
    )


def _parse(path: str) -> _File:
    lines = text(path).splitlines()
    while len(lines) % 3 and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise LoadError(f"{path}: is empty; expected three lines per student.")
    if len(lines) % 3:
        raise LoadError(f"{path}: has {len(lines)} lines, which is not a multiple of three.")
    # The ancestors of the format end lines with a comma, and skip it when they read.
    lines = [line.strip().removesuffix(",") for line in lines]
    lengths = _integers(pa.array(lines[::3]), lambda row: _where(path, row, "length"))
    for student, length in enumerate(lengths.tolist()):
        if length < 1:
            raise LoadError(
                f"{_where(path, student, 'length')} states {length} answers; expected 1 or more."
            )
        for kind, line in zip(LINES[1:], lines[3 * student + 1 : 3 * student + 3], strict=True):
            found = line.count(",") + 1 if line else 0
            if found != length:
                raise LoadError(
                    f"{_where(path, student, kind)} has {found} {kind}; "
                    f"line {3 * student + 1} states {length}."
                )
    questions, responses = (pa.array(",".join(lines[i::3]).split(",")) for i in (1, 2))
    return _File(path, lengths, questions, responses)


def _where(path: str, student: int, kind: str) -> str:
    return f"{path}: line {3 * student + LINES.index(kind) + 1}"


def _integers(printed: pa.Array, where: Callable[[int], str]) -> np.ndarray:
    try:
        return cast(printed, pa.int64()).to_numpy()
    except CastError as error:
        found = printed[error.row].as_py()
        raise LoadError(f"{where(error.row)} holds {found!r}; expected whole numbers.") from error


def _shifted(file: _File, questions: int, base: int) -> np.ndarray:
    found = _integers(file.questions, lambda place: file.where(place, "questions"))
    outside = (found < base) | (found >= base + questions)
    if outside.any():
        place = int(np.argmax(outside))
        expected = f"expected ids {base} to {base + questions - 1}"
        if base == 1 and found[place] == 0:
            expected += " (id_base: 0 is for files whose ids start at 0)"
        raise LoadError(
            f"{file.where(place, 'questions')} holds question {found[place]}; {expected}."
        )
    return found + 1 - base


def _ordered(file: _File, categories: int) -> np.ndarray:
    found = _integers(file.responses, lambda place: file.where(place, "responses"))
    _check(file, (found >= 0) & (found < categories), f"0 to {categories - 1}")
    return found


def _partial(file: _File, categories: int) -> np.ndarray:
    top = categories - 1
    try:
        credit = cast(file.responses, pa.float64()).to_numpy()
    except CastError as error:
        where, found = file.where(error.row, "responses"), file.responses[error.row].as_py()
        raise LoadError(f"{where} holds {found!r}; expected numbers from 0 to 1.") from error
    with np.errstate(invalid="ignore"):
        found = np.round(credit * top)
        fits = (np.abs(credit - found / top) <= DECIMALS) & (found >= 0) & (found <= top)
    _check(file, fits, f"multiples of 1/{top} from 0 to 1")
    return found.astype(np.int64)


def _check(file: _File, fits: np.ndarray, expected: str) -> None:
    if not fits.all():
        place = int(np.argmin(fits))
        where, response = file.where(place, "responses"), file.responses[place].as_py()
        raise LoadError(f"{where} holds response {response}; expected {expected}.")


def _truth(source: ThreeLines, students: int) -> dict[str, np.ndarray]:
    """theta (S,), alpha (Q,), beta (Q, K - 1) from the file of true parameters, if there is one."""
    if source.truth is None:
        return {}
    path, questions, categories = source.truth, source.questions, source.categories
    shapes = {"theta": (students,), "alpha": (questions,), "beta": (questions, categories - 1)}
    fault = "holds no true parameters"
    expected = "JSON with student_abilities and question_params"
    stored = parsed_json(text(path), path, fault, expected)
    with foreign(path, fault, expected):
        items = stored["question_params"]
        truth = {
            "theta": np.array(stored["student_abilities"]["theta"], float),
            "alpha": np.array(items["discrimination"]["alpha"], float),
            "beta": np.array(items["difficulties"]["beta"], float),
        }
    for name, shape in shapes.items():
        if truth[name].shape != shape:
            raise LoadError(f"{path}: {name} has shape {truth[name].shape}; expected {shape}.")
        wrong = truth[name][~np.isfinite(truth[name])]
        if wrong.size:
            raise LoadError(f"{path}: {name} holds {wrong[0]}; expected finite numbers.")
    if (truth["alpha"] <= 0).any():
        lowest = truth["alpha"].min()
        raise LoadError(f"{path}: alpha holds {lowest}; expected slopes above 0.")
    return truth
