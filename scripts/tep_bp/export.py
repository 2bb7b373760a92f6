"""The search as an Optuna storage, one study per rule, for Optuna's plots and its dashboard.

An output, never an input.
"""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pandas as pd
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from sqlalchemy.pool import StaticPool

from scripts.lib.files import replacing
from scripts.lib.stage import stage
from scripts.tep_bp.plans.optuna_trials import study_of
from scripts.tep_bp.plans.space import Space
from scripts.tep_bp.specs import ExportJob


def export(path: Path, results: dict[str, pd.DataFrame], space: Space) -> None:
    """Write one study per rule, named after it, to a SQLite (.db) or a journal (.log) file.

    `results` has the rows of each rule: a plan's columns, status, val_accuracy, val_loss, and
    whatever else is to be seen in Optuna. SQLite takes some 25 ms a trial, a journal 0.4 ms.
    Raises ValueError for another ending.
    """
    writers = {".db": _sqlite, ".log": _journal}
    if path.suffix not in writers:
        raise ValueError(f"{path}: ends in neither {' nor '.join(writers)}.")

    def fill(storage: BaseStorage) -> None:
        for rule, rows in results.items():
            study_of(rows, space, rule, storage=storage, name=rule)

    with replacing(path) as temporary:
        writers[path.suffix](temporary, fill)


def _sqlite(path: Path, fill: Callable[[BaseStorage], None]) -> None:
    """Filled in memory and copied: no commit per trial, and no path inside a URL."""
    with (
        closing(sqlite3.connect(":memory:", check_same_thread=False)) as memory,
        closing(sqlite3.connect(path)) as file,
    ):
        engine = {"creator": lambda: memory, "poolclass": StaticPool}
        storage = RDBStorage("sqlite://", engine_kwargs=engine)
        fill(storage)
        storage.remove_session()
        memory.backup(file)


def _journal(path: Path, fill: Callable[[BaseStorage], None]) -> None:
    fill(JournalStorage(JournalFileBackend(str(path))))


def searched(spec: ExportJob, runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Rows of each rule by the result arm, of the stage whose trials are ranked."""
    found = runs[(runs["arm"] == spec.arm) & (runs["stage"] == spec.stage)]
    return {rule: found[found["rule"] == rule] for rule in spec.rules}


def main(spec: ExportJob, runs: Path, storage: Path) -> None:
    export(storage, searched(spec, pd.read_parquet(runs)), spec.space)


if __name__ == "__main__":
    stage(main)
