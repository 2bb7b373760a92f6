"""On a cluster: what each attempt of a job asks for, and what its partition cannot give.

Rules say what their scripts take (`mem_mb` of 10^6 bytes, `runtime` in minutes, threads). On a
cluster each job runs two processes of Snakemake as well, and a job that ran out of memory or time
is sent again with more. A partition that can never give what a job asks for leaves it pending
without a word: it is refused here, before the first job and in a dry run, in a sentence.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from math import inf
from typing import Any

from snakemake.exceptions import ResourceValidationError

from scripts.lib.plan import PlannedWorkload

# Two processes of 170 MB (measured), and as much as a file system with many files may add.
SNAKEMAKE_MB = 400
# Of the host's memory, what a process holds for a GPU: libraries, pinned buffers.
GPU_MB = 3000
GROWING = ("mem_mb", "runtime")


@dataclass(frozen=True)
class Partition:
    """The most that a job of a partition can have: minutes, 10^6 bytes and CPUs of one node."""

    name: str
    runtime: float
    mem_mb: float
    cpus: float


def on_cluster(workflow: Any) -> bool:
    """Whether jobs are sent to other machines, or this is such a job."""
    return workflow.remote_exec or workflow.resource_settings.nodes is not None


def threads_alone(workflow: Any, plan: Iterable[PlannedWorkload]) -> int:
    """Threads of a measurement: here all, so that nothing of ours runs beside it.

    On a cluster, where its node is its own, those that its contestants compute with at once.
    """
    if not on_cluster(workflow):
        return workflow.resource_settings.cores or 1
    entries = [entry for workload in plan for entry in workload.contestants]
    return max((entry.workers * entry.threads for entry in entries), default=1)


def gpus(*jobs: Any) -> int:
    """GPUs that jobs take one after the other: one, if any of them computes on it."""
    return int(any(getattr(job, "device", "cpu") == "cuda" for job in jobs))


def gpus_of(plan: Iterable[PlannedWorkload]) -> int:
    """GPUs of a measurement."""
    return gpus(*(entry.job for workload in plan for entry in workload.contestants))


def megabytes(paths: Iterable[str]) -> float:
    """Size of files in 10^6 bytes; what is yet to be made is no size, as Snakemake expects."""
    return sum(os.path.getsize(path) for path in paths) / 1e6


def request(workflow: Any) -> None:
    """Have every rule ask for what its jobs take on a cluster, if one is used.

    A job on its node was given what it has by then.
    """
    if not (on_cluster(workflow) and workflow.is_main_process):
        return
    for rule in workflow.rules:
        for name in GROWING:
            if name in rule.resources:
                rule.resources[name] = asking(rule, rule.resources[name])


def spare_the_timers(scheduler: Any) -> None:
    """Take out Snakemake's own limit of 100 jobs a second, but not one that a user has set.

    With a limit Snakemake 9.27 starts a timer at every look at the jobs, and each timer is another
    look: after 250 jobs it looks 250 times a second, which takes half of a core.
    """
    limit = scheduler.job_rate_limiter
    if limit and (limit.max_jobs, limit.timespan) == (100, 1):
        scheduler.job_rate_limiter = None


def asking(rule: Any, given: Any) -> Callable[..., Any]:
    """The function that says how much an attempt asks for, from the rule's own resources.

    Each attempt gets so many times what the rule says, beside what Snakemake takes, but nothing
    that its partition does not have. The first needs what it needs.
    """

    # Snakemake fills the parameters by name, and expressions of a profile take them all.
    def asked(wildcards, input, attempt, threads, rulename, async_run) -> Any:
        known = {"input": input, "attempt": attempt, "threads": threads}
        known |= {"rulename": rulename, "async_run": async_run}
        own = given.evaluate(wildcards, **known).value
        if not isinstance(own, int):
            return own  # depends on files that are yet to be made
        extra = 0
        if given.name == "mem_mb":
            on_gpu = "gpu" in rule.resources and rule.resources["gpu"].evaluate(wildcards, **known)
            extra = SNAKEMAKE_MB + GPU_MB * bool(on_gpu and on_gpu.value)
        # As the rule says: `threads` is limited by --cores, which is 1 in a dry run without.
        cpus = rule.resources["_cores"].evaluate(wildcards, **known).value
        if threads < cpus and not rule.workflow.dryrun:
            raise ResourceValidationError(
                f"Cluster: --cores would give a job of {rulename} {threads} of the {cpus} CPUs "
                "that it computes with; leave --cores out, which limits nothing else on a cluster."
            )
        limits = partition(rule.resources.get("slurm_partition").evaluate(wildcards, **known).value)
        if limits is None:
            return own * attempt + extra
        check(rulename, limits, **{given.name: own + extra}, cpus=cpus)
        return int(min(own * attempt + extra, getattr(limits, given.name)))

    return asked


UNITS = {"mem_mb": "MB of memory", "runtime": "minutes", "cpus": "CPUs"}


def check(rule: str, limits: Partition, **asked: int) -> None:
    """Raise an error of one sentence for what a partition can never give to a job of a rule."""
    for name, amount in asked.items():
        if amount > getattr(limits, name):
            key = "threads" if name == "cpus" else name
            raise ResourceValidationError(
                f"Cluster: a job of {rule} asks for {amount:,} {UNITS[name]}, and the partition "
                f"{limits.name} gives at most {getattr(limits, name):,.0f}, so it would wait for "
                f"ever; name another partition (slurm_partition), or set {key} of {rule}."
            )


@cache
def partition(name: str | None) -> Partition | None:
    """What Slurm says of a partition, or of its default one; None where there is no Slurm."""
    if shutil.which("sinfo") is None:
        return None
    known = list(read_partitions(sinfo()))
    if not known:
        return None  # no controller answers: what follows says so
    if name is None:
        return next((limits for limits, is_default in known if is_default), None)
    found = [limits for limits, _ in known if limits.name in name.split(",")]
    if not found:
        names = ", ".join(dict.fromkeys(limits.name for limits, _ in known))
        raise ResourceValidationError(
            f"Cluster: Slurm has no partition {name!r}; slurm_partition in "
            f"profiles/slurm/config.yaml can be one of {names}."
        )
    most = [max(getattr(limits, key) for limits in found) for key in ("runtime", "mem_mb", "cpus")]
    return Partition(name, *most)


def sinfo() -> str:
    """Partition, time limit, memory (MiB) and CPUs of a node: a line for each kind of node."""
    command = ["sinfo", "--noheader", "--format=%P|%l|%m|%c"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=30).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


def read_partitions(text: str) -> Iterable[tuple[Partition, bool]]:
    """Partitions by the lines of `sinfo`, and whether each is the default one."""
    for line in text.splitlines():
        name, limit, memory, cpus = line.split("|")
        numbers = [int(re.sub(r"\D", "", number)) for number in (memory, cpus)]
        limits = Partition(name.rstrip("*"), minutes(limit), numbers[0] * 1.048576, numbers[1])
        yield limits, name.endswith("*")


def minutes(limit: str) -> float:
    """Slurm's [days-][[hours:]minutes:]seconds in minutes; "infinite" and the like have no end."""
    if not re.fullmatch(r"[\d:-]+", limit):
        return inf
    days, _, clock = limit.rpartition("-")
    seconds = 0
    for part in clock.split(":"):
        seconds = seconds * 60 + int(part)
    return int(days or 0) * 1440 + seconds / 60
