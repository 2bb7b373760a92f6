"""Read a task: one .npz with name, x, y and the row numbers of train, val and test.

A fault ends in one sentence, and no file.
"""

import sys
from pathlib import Path

from scripts.lib.faults import LoadError
from scripts.lib.stage import arguments
from scripts.tep_bp.data.sources import read
from scripts.tep_bp.data.store import write_task


def load(spec: dict, fetched: list[Path], task: Path) -> None:
    """Read spec["task"], split by spec["split_seed"], and write it to `task`."""
    write_task(task, read(spec["task"], spec["split_seed"], *fetched))


if __name__ == "__main__":
    args = arguments(fetched=[Path], task=Path)
    try:
        load(**vars(args))
    except LoadError as error:
        sys.exit(str(error))
