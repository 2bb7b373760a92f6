"""Time the contestants of one study, interleaved and alone on the machine: measurements.parquet.

One row per workload, contestant and round (round 0 is the warm-up and is not written). Each
contestant has worker processes of its own that stay idle while another one runs. `wall_s` is the
whole call, `fit_s` its training alone (the busiest worker's), `cpu_s` the CPU time of training
over all workers, `rss_mb` the sum of their peak resident sets. Starting workers is in none. `where`
is the part of the study whose agreement counts for the workload, "" for all parts.
"""

import os
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from scripts.lib.plan import PlannedWorkload
from scripts.lib.progress import progress
from scripts.lib.provenance import today
from scripts.lib.stage import stage
from scripts.lib.table_files import same_keys, write_table
from scripts.lib.typed import Model
from scripts.lib.workers import Call, Inputs, call_study, schedule, shares, start_workers

OWN_COLUMNS = ("fit_s", "cpu_s")
# Work that a unit counts is summed over units.
COUNTERS = ("n_", "noise_")


class MeasureJob(Model):
    """What is measured of a study: `script` has the function `run` that is timed."""

    study: str
    script: str
    plan: list[PlannedWorkload]


def measure_once(
    call: Call, module: str, inputs: Inputs, pools: list[ProcessPoolExecutor]
) -> dict[str, Any]:
    """One measurement row: the contestant's units on its workers, everything else idle."""
    load = os.getloadavg()[0]
    jobs = [call.job | {"units": part} for part in shares(call.units, call.workers)]
    start = time.perf_counter()
    calls = [
        pool.submit(call_study, module, job, inputs, call.threads, call.trace_memory)
        for pool, job in zip(pools, jobs, strict=False)
    ]
    done = [call.result() for call in calls]
    wall_s = time.perf_counter() - start
    rows = [row for part in done for row in part.rows]
    labels = ("workload", "where", "contestant", "arm", "round", "workers", "threads")
    counters = [name for name in rows[0] if name.startswith(COUNTERS)]
    phases = [name for name in rows[0] if name.endswith("_s") and name not in OWN_COLUMNS]
    return {
        **{name: getattr(call, name) for name in labels},
        "wall_s": wall_s,
        "fit_s": max(sum(row["fit_s"] or 0.0 for row in part.rows) for part in done),
        "cpu_s": sum(row["cpu_s"] or 0.0 for row in rows),
        "rss_mb": sum(part.rss_mb for part in done),
        "tensor_peak_mb": max(part.tensor_peak_mb for part in done) if call.trace_memory else None,
        "units": len(rows),
        "units_ok": sum(row["status"] == "ok" for row in rows),
        "load_before": load,
        **{name: sum(row.get(name) or 0 for row in rows) for name in [*counters, *phases]},
    }


def measure(plan: list[PlannedWorkload], module: str, inputs: Inputs) -> list[dict[str, Any]]:
    """Measurement rows of the plan, in its order; the warm-up round is run and dropped."""
    calls = list(schedule(plan))
    pools = start_workers(calls, module)
    rows = []
    for call in progress(calls, len(calls), "measure"):
        rows.append(measure_once(call, module, inputs, pools[call.contestant]))
    for pool in (pool for group in pools.values() for pool in group):
        pool.shutdown(wait=False)  # they take a second each to exit
    return [row for row in rows if row["round"] > 0]


def main(spec: MeasureJob, inputs: Inputs, measurements: Path) -> None:
    module = spec.script.removesuffix(".py").replace("/", ".")
    rows = measure(spec.plan, module, inputs)
    rows = same_keys([{"study": spec.study} | row for row in rows])
    write_table(measurements, rows, date=today())


if __name__ == "__main__":
    stage(main)
