"""Count heads in every unit by one arm: runs/{arm}/all.parquet."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from scripts.lib.stage import arguments
from scripts.lib.tables import write_runs
from scripts.lib.timing import Phases

ARMS = {"loop": lambda flips: sum(flips) / len(flips), "vector": lambda flips: np.mean(flips)}


def run(spec: dict, inputs: dict, threads: int) -> list[dict]:
    """One row per unit (contract, clause 4)."""
    rows = []
    for seed, unit in enumerate(pq.read_table(inputs["data"][0]).to_pylist()):
        phases = Phases()
        heads = float(ARMS[spec["arm"]](unit["flips"]))
        phases.lap("flip")
        row = {"study": "coin", "arm": spec["arm"], "bias": unit["bias"], "rep": unit["rep"]}
        row |= {"seed": seed, "status": "ok", "heads": heads, "n_flips": len(unit["flips"])}
        rows.append(row | phases.columns() | {"threads": threads, "device": "cpu"})
    return rows


if __name__ == "__main__":
    args = arguments(data=Path, runs=Path)
    rows = run(args.spec, {"data": [args.data]}, threads=1)
    write_runs(args.runs, rows, ["bias", "rep"])
