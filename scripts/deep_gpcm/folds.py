"""Split the students of a data set into folds: one Parquet file per fold.

Columns: student_id, t, question_id, response, split (train, val or test), fold. All answers of a
student are in one part. A fault ends in one sentence, and no file.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from scripts.deep_gpcm.data.fold import PARTS
from scripts.deep_gpcm.data.split import parts
from scripts.deep_gpcm.data.store import INTERACTIONS
from scripts.deep_gpcm.specs import FoldsJob
from scripts.lib.stage import stage
from scripts.lib.table_files import read_table, write_table


def folded(answers: pa.Table, part: np.ndarray, fold: int) -> dict[str, pa.Array]:
    """Columns of a fold file: the answers as loaded, with the part (S,) of their student."""
    codes = np.array([PARTS.index(name) for name in part], np.int8)
    split = pa.DictionaryArray.from_arrays(codes[answers["student_id"].to_numpy()], list(PARTS))
    columns = {name: answers[name] for name in INTERACTIONS}
    return columns | {"split": split, "fold": np.full(len(answers), fold, np.int8)}


def main(spec: FoldsJob, interactions: Path, students: Path, folds: list[Path]) -> None:
    split = parts(pq.read_metadata(students).num_rows, **vars(spec))
    answers = read_table(interactions)
    for fold, (part, path) in enumerate(zip(split, folds, strict=True)):
        write_table(path, folded(answers, part, fold))


if __name__ == "__main__":
    stage(main)
