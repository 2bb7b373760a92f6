"""Read a data source of answers: interactions.parquet, students.parquet, items.parquet.

Interactions columns: student_id, t (place in the sequence), question_id (from 1), response (from
0); students: student_id, name, theta; items: question_id, name, categories, alpha, beta_1... A
fault ends in one sentence, and no file. How the source was read stands in the log and in the
metadata of all three.
"""

import logging
from pathlib import Path

from scripts.deep_gpcm.data.sources import read
from scripts.deep_gpcm.data.store import write_responses
from scripts.deep_gpcm.specs import LoadJob
from scripts.lib.stage import stage


def main(
    spec: LoadJob, fetched: list[Path], interactions: Path, students: Path, item_table: Path
) -> None:
    found = read(spec.source, spec.seed, *fetched)
    for what, how in found.reading.items():
        logging.info("%s: %s", what, how)
    write_responses(found, interactions, students, item_table)


if __name__ == "__main__":
    stage(main)
