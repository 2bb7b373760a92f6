"""Read a task: one .npz with name, x, y, the row numbers of train, val and test, and the reading.

How its numbers were scaled, and its classes read, stands in the log too.
"""

import logging
from pathlib import Path

from scripts.lib.stage import stage
from scripts.tep_bp.data.sources import read
from scripts.tep_bp.data.store import write_task
from scripts.tep_bp.specs import LoadJob


def main(spec: LoadJob, fetched: list[Path], task: Path) -> None:
    found = read(spec.task, spec.split_seed, *fetched)
    for what, how in found.reading.items():
        logging.info("%s: %s", what, how)
    write_task(task, found)


if __name__ == "__main__":
    stage(main)
