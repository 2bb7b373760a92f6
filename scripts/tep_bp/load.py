"""Read a task: one .npz with name, x, y and the row numbers of train, val and test."""

from pathlib import Path

from scripts.lib.stage import stage
from scripts.tep_bp.data.sources import read
from scripts.tep_bp.data.store import write_task
from scripts.tep_bp.specs import LoadJob


def main(spec: LoadJob, fetched: list[Path], task: Path) -> None:
    write_task(task, read(spec.task, spec.split_seed, *fetched))


if __name__ == "__main__":
    stage(main)
