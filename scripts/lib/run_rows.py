"""The rows of run files: which columns every study's have, and how they are written and read."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from scripts.lib.faults import ContractError
from scripts.lib.job import JOB
from scripts.lib.provenance import of_devices
from scripts.lib.table_files import read_table, same_keys, write_table
from scripts.lib.training_job import TrainingJob

STATUSES = ("ok", "diverged", "failed")
RUN_COLUMNS = {
    "study": pa.string(),
    "arm": pa.string(),
    "seed": pa.int64(),
    "status": pa.string(),
    "fit_s": pa.float64(),
    "cpu_s": pa.float64(),
    "threads": pa.int64(),
    "device": pa.string(),
}


def check_rows(rows: list[dict], axes: list[str], where: str) -> None:
    """Raise ContractError unless every row has the contract's columns and a key of its own."""
    if not rows:
        raise ContractError(f"{where}: no rows.")
    missing = [name for name in [*RUN_COLUMNS, *axes] if name not in rows[0]]
    if missing:
        raise ContractError(f"{where}: column {missing[0]!r} is missing.")
    if unknown := {row["status"] for row in rows} - set(STATUSES):
        raise ContractError(
            f"{where}: status is {sorted(unknown)[0]!r}; use one of {', '.join(STATUSES)}."
        )
    keys = [tuple(row[axis] for axis in ("arm", *axes)) for row in rows]
    if len(set(keys)) < len(keys):
        raise ContractError(f"{where}: two rows have the same {', '.join(('arm', *axes))}.")


def run_row(
    job: TrainingJob, axes: list[str], unit: Sequence, seed: int, status: str = "ok", **cost: float
) -> dict[str, Any]:
    """The columns that the run row of every study begins with; `cost` has what was timed."""
    row = {"study": job.study, "arm": job.arm, **dict(zip(axes, unit, strict=True)), "seed": seed}
    row |= {"status": status, "fit_s": None, "cpu_s": None}
    return row | {"threads": JOB.threads, "device": job.device} | cost


def write_runs(path: str | Path, rows: list[dict], axes: list[str], **metadata: Any) -> None:
    """Check run rows against the contract and write them, with the CPU time of the process so far
    and the job's specification; those of a GPU with what is known of it.

    A row that lacks a metric of another row (a failed unit) gets a null there.
    """
    check_rows(rows, axes, str(path))
    metadata |= of_devices(row["device"] for row in rows)
    write_table(path, same_keys(rows), job_cpu_s=time.process_time(), spec=JOB.spec, **metadata)


def read_runs(path: str | Path, axes: list[str]) -> pa.Table:
    """A run file; ContractError unless its rows meet the contract."""
    table = read_table(path)
    check_rows(table.to_pylist(), axes, str(path))
    return table
