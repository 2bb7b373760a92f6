"""Who is measured when: the calls in their order, and processes that idle between their calls."""

import importlib
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context, set_start_method
from pathlib import Path
from typing import Any

from scripts.lib.memory import traced_tensor_peak
from scripts.lib.plan import PlannedWorkload
from scripts.lib.stage import use_threads
from scripts.lib.timing import peak_rss_mb

Inputs = dict[str, list[Path]]

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)


@dataclass(frozen=True)
class Call:
    """One contestant's turn in one round of a workload: an arm's job on these units."""

    workload: str
    where: str
    trace_memory: bool
    contestant: str
    arm: str
    workers: int
    threads: int
    round: int
    units: list[Any]
    job: dict[str, Any]


@dataclass(frozen=True)
class Done:
    """What one worker returns of a call: its rows and peak memory (10^6 bytes)."""

    rows: list[dict[str, Any]]
    tensor_peak_mb: float | None
    rss_mb: float


def call_study(module: str, job: dict[str, Any], inputs: Inputs, threads: int, trace: bool) -> Done:
    """In a worker: run the units of a job by `module.run`."""
    use_threads(threads)
    run = partial(importlib.import_module(module).run, job, inputs)
    rows, tensor_peak_mb = traced_tensor_peak(run) if trace else (run(), None)
    return Done(rows, tensor_peak_mb, peak_rss_mb())


def import_study(module: str) -> None:
    """In a worker: pay the imports before anything is timed; be like any script otherwise."""
    importlib.import_module(module)
    # A worker would start processes of its own, those of a DataLoader, in the way it was started.
    set_start_method(None, force=True)


def start_workers(calls: list[Call], module: str) -> dict[str, list[ProcessPoolExecutor]]:
    """Worker processes of each contestant, with its number of threads and the study imported.

    Those with one thread are forked from one process that has imported it; others import it
    themselves, because libraries read the number of threads when they are loaded.
    """
    os.environ["KINETO_LOG_LEVEL"] = "99"  # the profiler announces itself in every log
    one_thread = get_context("forkserver")
    # The first optimizer of a process imports torch._dynamo: here once for all, and untimed.
    one_thread.set_forkserver_preload([module, "torch._dynamo"])
    pools, imports = {}, []
    by_name = {call.contestant: call for call in calls}
    # The fork server starts, and reads the environment, with the first of its workers.
    for name, call in sorted(by_name.items(), key=lambda item: item[1].threads):
        # NumPy's BLAS too: its idle threads spin and would be timed with the next unit.
        os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(call.threads)))
        context = one_thread if call.threads == 1 else get_context("spawn")
        pools[name] = [ProcessPoolExecutor(1, mp_context=context) for _ in range(call.workers)]
        # A process starts at its first call.
        imports += [pool.submit(import_study, module) for pool in pools[name]]
    for ready in imports:
        ready.result()
    return pools


def shares(units: list, workers: int) -> list[list]:
    """Units dealt to the workers in turn; no worker gets an empty share."""
    return [units[i::workers] for i in range(min(workers, len(units)))]


def schedule(plan: list[PlannedWorkload]) -> Iterator[Call]:
    """The calls in their order: in each round of a workload every contestant once.

    Each round starts with another contestant, so that none always follows the same one.
    """
    for workload in plan:
        entries = workload.contestants
        for number, units in enumerate(workload.rounds):
            turn = number % len(entries)
            for entry in entries[turn:] + entries[:turn]:
                yield Call(
                    workload=workload.workload,
                    where=workload.where,
                    trace_memory=workload.trace_memory,
                    contestant=entry.contestant,
                    arm=entry.arm,
                    workers=entry.workers,
                    threads=entry.threads,
                    round=number,
                    units=units,
                    job=entry.job,
                )
