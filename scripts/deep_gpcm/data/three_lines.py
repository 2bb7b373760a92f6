"""The 3-line text format of DKVMN and Deep-IRT: length, questions, responses of each student."""

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from scripts.deep_gpcm.data.coding import categories_of, lowest
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

SPACES = re.compile(r"^\s+|\s+$|(?<=,)\s+|\s+(?=,)")
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
    response, coded = {"OC": _ordered, "PC": _partial}[source.format](files, source)
    lengths = np.concatenate([file.lengths for file in files])
    students = len(lengths)
    truth = _truth(source, students)
    return assemble(
        student=np.repeat(np.arange(students), lengths),
        question=np.concatenate([_shifted(file, questions, base) for file in files]),
        response=response,
        students=student_table(range(students), truth.get("theta")),
        items=item_table(
            range(base, base + questions),
            np.full(questions, categories),
            alpha=truth.get("alpha"),
            beta=truth.get("beta"),
        ),
        window=source.window,
        reading={
            "responses": coded,
            "categories": f"{categories} an item (categories)",
            "order": "as the lines have it",
        },
    )


def _parse(path: str) -> _File:
    lines = text(path).splitlines()
    filled = len(lines)
    while filled and not lines[filled - 1].strip():
        filled -= 1
    # Empty lines at the end are none, but for those of a student who has begun.
    lines = lines[: -(-filled // 3) * 3]
    if not lines:
        raise LoadError(f"{path}: is empty; expected three lines per student.")
    if len(lines) % 3:
        raise LoadError(f"{path}: has {len(lines)} lines, which is not a multiple of three.")
    # The ancestors of the format end lines with a comma, and skip it when they read; like the
    # original's loader they read "1, 2" as "1,2".
    lines = [SPACES.sub("", line).removesuffix(",") for line in lines]
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
    """Whole numbers, which some programs print as 1.0."""
    try:
        found = cast(printed, pa.int64(), pa.float64()).to_numpy()
    except CastError as error:
        found = printed[error.row].as_py()
        raise LoadError(f"{where(error.row)} holds {found!r}; expected whole numbers.") from error
    whole = np.isfinite(found) & (found == np.floor(found))
    if not whole.all():
        row = int(np.argmin(whole))
        raise LoadError(f"{where(row)} holds {printed[row].as_py()!r}; expected whole numbers.")
    return found.astype(np.int64)


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


def _ordered(files: list[_File], source: ThreeLines) -> tuple[np.ndarray, str]:
    """Categories from 0 of all files, and how they are coded."""
    found = [_integers(f.responses, lambda place, f=f: f.where(place, "responses")) for f in files]
    names = ", ".join(file.path for file in files)
    base, coded = lowest(np.concatenate(found), source.response_base, names)

    def of(file: _File, responses: np.ndarray) -> np.ndarray:
        def fault(place: int) -> str:
            return f"{file.where(place, 'responses')} holds response {responses[place]}"

        return categories_of(responses, base, source.categories, fault)

    return np.concatenate(list(map(of, files, found))), coded


def _partial(files: list[_File], source: ThreeLines) -> tuple[np.ndarray, str]:
    """Categories from 0 of all files, printed as shares of full credit."""
    found = [_shares(file, source.categories - 1) for file in files]
    return np.concatenate(found), f"shares of full credit, times {source.categories - 1} (format)"


def _shares(file: _File, top: int) -> np.ndarray:
    try:
        credit = cast(file.responses, pa.float64()).to_numpy()
    except CastError as error:
        where, found = file.where(error.row, "responses"), file.responses[error.row].as_py()
        raise LoadError(f"{where} holds {found!r}; expected numbers from 0 to 1.") from error
    with np.errstate(invalid="ignore"):
        found = np.round(credit * top)
        fits = (np.abs(credit - found / top) <= DECIMALS) & (found >= 0) & (found <= top)
    if not fits.all():
        place = int(np.argmin(fits))
        where, response = file.where(place, "responses"), file.responses[place].as_py()
        expected = f"multiples of 1/{top} from 0 to 1"
        raise LoadError(f"{where} holds response {response}; expected {expected}.")
    return found.astype(np.int64)


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
