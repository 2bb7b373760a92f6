"""The study's own tables on disk: answers, students, items; predictions and estimates of an arm."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from scripts.deep_gpcm.data.fold import Sequences
from scripts.deep_gpcm.data.responses import Responses
from scripts.lib.table_files import write_table

Columns = dict[str, Any]
# Columns of an interactions file, and the fields of `Responses` that they hold.
INTERACTIONS = {
    "student_id": ("student", pa.int32()),
    "t": ("t", pa.int16()),
    "question_id": ("question", pa.int32()),
    "response": ("response", pa.int8()),
}
STUDENTS = {"student_id": pa.int32(), "name": pa.string(), "theta": pa.float64()}
ITEMS = {"question_id": pa.int32(), "name": pa.string(), "categories": pa.int8()}


def write_responses(found: Responses, interactions: Path, students: Path, items: Path) -> None:
    """Write the three files, whose metadata say how the answers were read (`reading`).

    Columns of items that are not in ITEMS are float64, NaN is kept.
    """
    answers = {name: getattr(found, field) for name, (field, _) in INTERACTIONS.items()}
    kinds = {name: kind for name, (_, kind) in INTERACTIONS.items()}
    of_items = dict.fromkeys(found.items, pa.float64()) | ITEMS
    write_table(interactions, _typed(answers, kinds), reading=found.reading)
    write_table(students, _typed(found.students, STUDENTS), reading=found.reading)
    write_table(items, _typed(found.items, of_items), reading=found.reading)


def _typed(columns: Mapping, kinds: dict[str, pa.DataType]) -> dict[str, pa.Array]:
    # Of NumPy arrays Arrow keeps NaN; of pandas columns it makes nulls.
    return {name: pa.array(np.asarray(columns[name]), kind) for name, kind in kinds.items()}


def predicted(
    unit: Columns, test: Sequences, probability: np.ndarray, theta: np.ndarray | None
) -> Columns:
    """Columns of a predictions file.

    `unit` labels every row (arm, data, fold). probability (n, K) of each category given what came
    before; theta (n,) the ability that it rests on, None if the arm has none.
    """
    n = len(test.question)
    columns = {name: [value] * n for name, value in unit.items()}
    columns |= {
        "student_id": np.repeat(test.student, test.lengths).astype(np.int32),
        "t": test.position.astype(np.int16),
        "question_id": test.question.astype(np.int32),
        "response": test.response.astype(np.int8),
        "theta": np.full(n, np.nan) if theta is None else theta.astype(float),
    }
    return columns | {f"p_{k}": p.astype(np.float32) for k, p in enumerate(probability.T)}


def estimated(unit: Columns, alpha: np.ndarray, beta: np.ndarray) -> Columns:
    """Columns of an estimates file: alpha (Q,) and beta (Q, K - 1), NaN where there is none."""
    columns = {name: [value] * len(alpha) for name, value in unit.items()}
    columns |= {"question_id": np.arange(1, len(alpha) + 1, dtype=np.int32), "alpha": alpha}
    return columns | {f"beta_{h}": b for h, b in enumerate(beta.T, start=1)}
