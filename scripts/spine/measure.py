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

from scripts.lib.progress import progress
from scripts.lib.stage import arguments
from scripts.lib.tables import same_keys, write_table
from scripts.lib.workers import call_study, schedule, shares, start_workers

OWN_COLUMNS = ("fit_s", "cpu_s")


def measure_once(entry: dict, module: str, inputs: dict, pools: list[ProcessPoolExecutor]) -> dict:
    """One measurement row: the contestant's units on its workers, everything else idle."""
    spec, load = entry["spec"], os.getloadavg()[0]
    parts = [spec | {"units": part} for part in shares(spec["units"], entry["workers"])]
    trace, threads = entry["trace_memory"], entry["threads"]
    start = time.perf_counter()
    calls = [
        pool.submit(call_study, module, part, inputs, threads, trace)
        for pool, part in zip(pools, parts, strict=False)
    ]
    done = [call.result() for call in calls]
    wall_s = time.perf_counter() - start
    rows = [row for part in done for row in part["rows"]]
    labels = ("workload", "where", "contestant", "arm", "round", "workers", "threads")
    counters = [name for name, value in rows[0].items() if name.startswith(("n_", "noise_"))]
    phases = [name for name in rows[0] if name.endswith("_s") and name not in OWN_COLUMNS]
    return {
        **{name: entry[name] for name in labels},
        "wall_s": wall_s,
        "fit_s": max(sum(row["fit_s"] or 0.0 for row in part["rows"]) for part in done),
        "cpu_s": sum(row["cpu_s"] or 0.0 for row in rows),
        "rss_mb": sum(part["rss_mb"] for part in done),
        "tensor_peak_mb": max(part["tensor_peak_mb"] for part in done) if trace else None,
        "units": len(rows),
        "units_ok": sum(row["status"] == "ok" for row in rows),
        "load_before": load,
        **{name: sum(row.get(name) or 0 for row in rows) for name in [*counters, *phases]},
    }


def measure(plan: list[dict], module: str, inputs: dict) -> list[dict]:
    """Measurement rows of the plan, in its order; the warm-up round is run and dropped."""
    calls = list(schedule(plan))
    pools = start_workers(calls, module)
    rows = []
    for entry in progress(calls, len(calls), "measure"):
        rows.append(measure_once(entry, module, inputs, pools[entry["contestant"]]))
    for pool in (pool for group in pools.values() for pool in group):
        pool.shutdown(wait=False)  # they take a second each to exit
    return [row for row in rows if row["round"] > 0]


if __name__ == "__main__":
    args = arguments(script=Path, data=[Path], measurements=Path)
    module = ".".join(args.script.with_suffix("").parts)
    rows = measure(args.spec["plan"], module, {"data": [str(path) for path in args.data]})
    rows = [{"study": args.spec["study"]} | row for row in rows]
    write_table(args.measurements, same_keys(rows))
