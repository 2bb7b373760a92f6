"""Time the contestants of one study, interleaved and alone on the machine: measurements.parquet.

One row per workload, contestant, round and timed call. A round is a fresh process of every
contestant, or as many as it has workers (scripts/lib/workers.py). All columns are of the units
computed once, which a call did `inner_repeats` times: `wall_s` is the whole, `fit_s` its training
alone (the busiest process's), `cpu_s` the CPU time of training over all processes, `minor_faults`
and `major_faults` their page faults, `rss_mb` the sum of their peak resident sets. Starting
processes and their first, unmeasured calls are in none. `where` is the part of the study whose
agreement counts for the workload, "" for all parts; `attempt` is 2 where the workload was measured
again because the first time the baseline and its twin differed too much. `device` is what a
contestant computed on; those of two devices have no ratio.
"""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from scripts.lib.comparison import half_width, is_precise, noisy_quantities, ratios_of
from scripts.lib.plan import Call, PlannedWorkload, turns
from scripts.lib.provenance import node_is_shared, of_devices, today
from scripts.lib.stage import stage
from scripts.lib.table_files import same_keys, write_table
from scripts.lib.timing import others_running
from scripts.lib.typed import Model
from scripts.lib.workers import Inputs, Process, Timed, fork_servers

# Rounds before an interval is looked at.
LEAST = 3
OWN_COLUMNS = ("fit_s", "cpu_s")
# Work that a unit counts is summed over units.
COUNTERS = ("n_", "noise_")
Row = dict[str, Any]


class MeasureJob(Model):
    """What is measured of a study: `script` has the function `run` that is timed."""

    study: str
    script: str
    plan: list[PlannedWorkload]


class Contestants:
    """Who is measured, by the servers that have their numbers of threads."""

    def __init__(self, servers: dict[int, Process], inputs: Inputs):
        self.servers, self.inputs = servers, inputs
        # How often a call computes its units is decided once for a contestant of a workload.
        self.repeats: dict[tuple[str, str], int] = {}

    def __call__(self, call: Call) -> list[Row]:
        """Rows of a turn: the contestant's timed calls, everything else idle."""
        beside, server = others_running(), self.servers[call.threads]
        who = (call.workload, call.contestant)
        server.ask(call, self.inputs, self.repeats.get(who))
        timed = server.reply()
        self.repeats[who] = timed[0].inner_repeats
        rows = [measurement(call, done) for done in timed]
        return [row | {"call": i, "others_running": beside} for i, row in enumerate(rows, start=1)]


def measurement(call: Call, timed: Timed) -> Row:
    """The row of a timed call."""
    times, parts = timed.inner_repeats, timed.parts
    rows = [row for part in parts for row in part.rows]
    labels = ("workload", "where", "contestant", "arm", "round", "workers", "threads")
    counters = [name for name in rows[0] if name.startswith(COUNTERS)]
    phases = [name for name in rows[0] if name.endswith("_s") and name not in OWN_COLUMNS]
    traced = [part.tensor_peak_mb for part in parts] if call.trace_memory else []
    return {
        **{name: getattr(call, name) for name in labels},
        "device": call.job.get("device", "cpu"),
        "wall_s": timed.wall_s / times,
        "fit_s": max(sum(row["fit_s"] or 0.0 for row in part.rows) for part in parts) / times,
        "cpu_s": sum(row["cpu_s"] or 0.0 for row in rows) / times,
        "rss_mb": sum(part.rss_mb for part in parts),
        "tensor_peak_mb": max(traced, default=None),
        "minor_faults": sum(part.minor_faults for part in parts) / times,
        "major_faults": sum(part.major_faults for part in parts) / times,
        "inner_repeats": times,
        "units": len(rows) // times,
        "units_ok": sum(row["status"] == "ok" for row in rows) // times,
        **{name: sum(row.get(name) or 0 for row in rows) / times for name in [*counters, *phases]},
    }


def rounds(
    workload: PlannedWorkload,
    measured: Callable[[Call], list[Row]],
    clock: Callable[[], float] = time.monotonic,
) -> list[Row]:
    """Rows of as many rounds as make every ratio precise, or as the budget of seconds allows.

    A round that would end after the budget, if it takes as long as the last one, does not begin.
    """
    start, rows = clock(), []
    for number in range(1, len(workload.rounds) + 1):
        begin = clock()
        for call in turns(workload, number):
            rows += measured(call)
        spent, last = clock() - start, clock() - begin
        if number >= LEAST and (
            spent + last > workload.budget_s or is_precise(pd.DataFrame(rows), workload.baseline)
        ):
            break
    return rows


def measure(
    workload: PlannedWorkload,
    measured: Callable[[Call], list[Row]],
    clock: Callable[[], float] = time.monotonic,
) -> list[Row]:
    """Rows of a workload, measured once more where the baseline and its twin differ too much."""
    rows: list[Row] = []
    for attempt in (1, 2):
        start = clock()
        rows = [row | {"attempt": attempt} for row in rounds(workload, measured, clock)]
        table = pd.DataFrame(rows)
        widest = max(map(half_width, ratios_of(table, workload.baseline)))
        outside = noisy_quantities(table, workload.baseline, workload.again)
        logging.info(
            "%s: %d rounds in %.1f s, widest interval +- %.1f %%%s",
            *(workload.workload, table["round"].max(), clock() - start, 100 * widest),
            "".join(f", A/A {name} {value:.2f}" for name, value in outside.items()),
        )
        if not outside:
            break
    return rows


def main(spec: MeasureJob, inputs: Inputs, measurements: Path) -> None:
    module = spec.script.removesuffix(".py").replace("/", ".")
    threads = [entry.threads for workload in spec.plan for entry in workload.contestants]
    with fork_servers(threads, module) as servers:
        contestants = Contestants(servers, inputs)
        rows = [row for workload in spec.plan for row in measure(workload, contestants)]
    rows = same_keys([{"study": spec.study} | row for row in rows])
    found = of_devices(row["device"] for row in rows)
    write_table(measurements, rows, date=today(), node_is_shared=node_is_shared(), **found)


if __name__ == "__main__":
    stage(main)
