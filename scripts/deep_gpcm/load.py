"""Read a data source of answers: interactions.parquet, students.parquet, items.parquet.

Interactions columns: student_id, t (place in the sequence), question_id (from 1), response (from
0); students: student_id, name, theta; items: question_id, name, categories, alpha, beta_1... A
fault ends in one sentence, and no file.
"""

import sys
from pathlib import Path

from scripts.deep_gpcm.data.sources import read
from scripts.deep_gpcm.data.store import write_responses
from scripts.lib.faults import LoadError
from scripts.lib.stage import arguments


def load(spec: dict, fetched: list[Path], interactions: Path, students: Path, items: Path) -> None:
    """Read spec["source"] and write its answers; spec["seed"] is what a generated one draws by."""
    found = read(spec["source"], spec["seed"], *fetched)
    write_responses(found, interactions, students, items)


if __name__ == "__main__":
    args = arguments(fetched=[Path], interactions=Path, students=Path, items=Path)
    try:
        load(**vars(args))
    except LoadError as error:
        sys.exit(str(error))
