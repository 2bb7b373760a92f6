"""Train and evaluate the units of one arm and block.

Writes runs/{arm}/{block}.parquet (one row a unit) and histories/{arm}/{block}.parquet (one row
an epoch). Finished units are kept under units/ and reused by a job that needs them again.
"""

from pathlib import Path

import pyarrow.parquet as pq
import torch

from scripts.engression.design import AXES
from scripts.engression.unit import train_unit
from scripts.lib.code import stamps
from scripts.lib.progress import progress
from scripts.lib.spec import array_digest
from scripts.lib.stage import arguments
from scripts.lib.tables import write_runs, write_table
from scripts.lib.units import finished, unit_folder


def results(spec: dict, data: Path, threads: int, store: Path | None = None) -> list[dict]:
    """Row and history of each unit of the job, from `store` where they are finished already."""
    torch.set_num_threads(threads)
    table = pq.read_table(data)
    keys = zip(*(table[axis].to_pylist() for axis in AXES), strict=True)
    samples = {key: x.values.to_numpy() for key, x in zip(keys, table["x"], strict=True)}

    def compute(unit: list) -> dict:
        return train_unit(spec, samples[tuple(unit)].copy(), unit)

    def data(unit: list) -> str:
        return array_digest(samples[tuple(unit)])

    done = finished(spec["units"], compute, store, data)
    return list(progress(done, len(spec["units"]), spec["arm"]))


def run(spec: dict, inputs: dict, threads: int) -> list[dict]:
    """Rows of the job's units, computed afresh: what `measure` times (contract, clause 4)."""
    return [result["row"] for result in results(spec, Path(inputs["data"][0]), threads)]


def history_columns(units: list[list], done: list[dict]) -> dict[str, list]:
    """Columns law, n, rep, epoch (from 1), loss, term1, term2 of all units' epochs."""
    rows = [
        [*unit, epoch, *values]
        for unit, result in zip(units, done, strict=True)
        for epoch, values in enumerate(result["history"], start=1)
    ]
    names = [*AXES, "epoch", "loss", "term1", "term2"]
    return {name: [row[i] for row in rows] for i, name in enumerate(names)}


if __name__ == "__main__":
    args = arguments(data=Path, units=Path, threads=int, runs=Path, histories=Path)
    store = unit_folder(args.units, args.spec, stamps("scripts/engression/train.py"), args.threads)
    done = results(args.spec, args.data, args.threads, store)
    rows = [result["row"] for result in done]
    write_runs(args.runs, rows, AXES, spec=args.spec)
    write_table(args.histories, history_columns(args.spec["units"], done))
