"""Answers of students as files of every kind that users bring, and the stages that read them."""

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from scripts.deep_gpcm import jobs
from scripts.deep_gpcm.data import sources
from scripts.deep_gpcm.data.responses import DTYPES, Responses, check
from scripts.deep_gpcm.data.store import INTERACTIONS
from scripts.deep_gpcm.options import Generated, Irtorch, LongTable, ThreeLines, Windowed
from tests.stages import one_sentence, run_stage

# The data sets of docs/studies/deep_gpcm.md, Generator.
A = {"kind": "generated", "students": 800, "questions": 50, "categories": 4, "lengths": [10, 50]}
B = A | {"students": 500, "questions": 200, "lengths": [100, 200]}
C = A | {"students": 500, "questions": 40, "categories": 3, "lengths": [15, 40]}
D = A | {"questions": 400, "lengths": [100, 400]}
TINY = A | {"students": 6, "questions": 5, "lengths": [2, 7]}


KINDS = {
    "generated": Generated, "three_lines": ThreeLines, "table": LongTable, "irtorch": Irtorch,
}  # fmt: skip


def data_source(source: dict) -> Windowed:
    """A data source as its model, values unchecked."""
    return KINDS[source["kind"]].model_construct(**source)


def read(source: dict, seed: int, *fetched: Path) -> Responses:
    """All answers of a data source, as load.py reads them."""
    return sources.read(data_source(source), seed, *fetched)


def fingerprint(source: dict) -> str:
    """Digest of the local files of a data source."""
    return jobs.fingerprint(data_source(source))


def by_student(column: np.ndarray, student: np.ndarray) -> list[np.ndarray]:
    return np.split(column, np.flatnonzero(np.diff(student)) + 1)


def save_three_lines(
    found: Responses, folder: Path, style: str = "OC", base: int = 1, files: tuple = ("data.txt",)
) -> dict:
    """The answers in the 3-line format, spread over `files`; the data source that reads them."""
    questions, categories = len(found.items), int(found.items["categories"].max())
    printed = str if style == "OC" else lambda r: f"{r / (categories - 1):.3f}"
    answers = zip(
        by_student(found.question, found.student),
        by_student(found.response, found.student),
        strict=True,
    )
    blocks = [
        f"{len(q)}\n{','.join(str(i - 1 + base) for i in q)}\n{','.join(printed(i) for i in r)}\n"
        for q, r in answers
    ]
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / name for name in files]
    for path, part in zip(paths, np.array_split(np.array(blocks), len(files)), strict=True):
        path.write_text("".join(part))
    return {
        "kind": "three_lines",
        "files": [str(path) for path in paths],
        "format": style,
        "questions": questions,
        "categories": categories,
        "id_base": base,
    }


def save_truth(found: Responses, path: Path) -> str:
    """The file of true parameters that the original generator writes beside its data."""
    betas = [name for name in found.items if name.startswith("beta_")]
    truth = {
        "student_abilities": {"theta": found.students["theta"].tolist()},
        "question_params": {
            "discrimination": {"alpha": found.items["alpha"].tolist()},
            "difficulties": {"beta": found.items[betas].to_numpy().tolist()},
        },
    }
    path.write_text(json.dumps(truth))
    return str(path)


def save_csv(path: Path, rows: list, header=("student", "time", "item", "response")) -> dict:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return {"kind": "table", "path": str(path)}


def outputs(folder: Path) -> dict[str, Path]:
    names = ("interactions", "students", "item_table")
    return {name: folder / f"{name}.parquet" for name in names}


def load(monkeypatch, source: dict, folder: Path, seed: int = 42, fetched: tuple = ()):
    """Run load.py into `folder`."""
    spec = {"source": source, "seed": seed}
    given = {"fetched": list(fetched)}
    return run_stage(monkeypatch, "deep_gpcm/load.py", spec, given, outputs(folder))


def read_responses(interactions: Path, students: Path, item_table: Path) -> Responses:
    """The answers that `write_responses` wrote, checked."""
    table = pq.read_table(interactions)
    columns = {field: table[name].to_numpy() for name, (field, _) in INTERACTIONS.items()}
    found = Responses(
        **{field: columns[field] for field in DTYPES},
        students=pq.read_table(students).to_pandas(),
        items=pq.read_table(item_table).to_pandas(),
    )
    check(found)
    return found


def refusal(monkeypatch, source: dict, folder: Path, **given) -> str:
    """The one sentence with which load.py refuses a source."""
    return one_sentence(load(monkeypatch, source, folder / "out", **given), folder / "out")


def same_answers(a: Responses, b: Responses) -> bool:
    columns = ("student", "t", "question", "response")
    pairs = [(getattr(a, name), getattr(b, name)) for name in columns]
    return all(x.dtype == y.dtype and np.array_equal(x, y) for x, y in pairs)
