"""The answers on disk: interactions, students and items, one Parquet file each."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa

from scripts.deep_gpcm.sequences.responses import Responses
from scripts.lib.tables import write_table

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
    """Write the three files; columns of items that are not in ITEMS are float64, NaN is kept."""
    answers = {name: getattr(found, field) for name, (field, _) in INTERACTIONS.items()}
    kinds = {name: kind for name, (_, kind) in INTERACTIONS.items()}
    write_table(interactions, _typed(answers, kinds))
    write_table(students, _typed(found.students, STUDENTS))
    write_table(items, _typed(found.items, dict.fromkeys(found.items, pa.float64()) | ITEMS))


def _typed(columns: Mapping, kinds: dict[str, pa.DataType]) -> dict[str, pa.Array]:
    # Of NumPy arrays Arrow keeps NaN; of pandas columns it makes nulls.
    return {name: pa.array(np.asarray(columns[name]), kind) for name, kind in kinds.items()}
