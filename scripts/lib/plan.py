"""What `measure` runs, from the section `measure` of a study's configuration."""

from collections.abc import Callable, Sequence
from typing import Any

from scripts.lib.sections import StudySettings, Workload
from scripts.lib.typed import Model

UnitLabels = list[Any]  # of one unit, e.g. ["normal", 100, 3]


class Planned(Model):
    """A contestant of a workload: `job` is its arm's, without units, as its study knows it."""

    contestant: str
    arm: str
    workers: int
    threads: int
    job: Any


class PlannedWorkload(Model):
    """A workload with the units of its rounds, the warm-up first, and the contestants in turn."""

    workload: str
    where: str
    trace_memory: bool
    rounds: list[list[Any]]
    contestants: list[Planned]


def measurement_plan(
    settings: StudySettings,
    units_of: Callable[[Workload, int], Sequence[UnitLabels]],
    job_of: Callable[[str, Workload], Model],
) -> list[PlannedWorkload]:
    """The workloads, each with a warm-up and its repeats; no rounds where it is switched off.

    `units_of(workload, round)` has the units of a round, `job_of(arm, workload)` the arm's job.
    """
    known = settings.contestants

    def contestant(name: str, workload: Workload) -> Planned:
        entry = known[name]
        return Planned(
            contestant=name,
            arm=entry.arm,
            workers=settings.measure.workers if entry.parallel else 1,
            threads=entry.threads,
            job=job_of(entry.arm, workload),
        )

    return [
        PlannedWorkload(
            workload=name,
            where=workload.where,
            trace_memory=workload.trace_memory,
            rounds=[list(units_of(workload, number)) for number in workload.rounds],
            contestants=[contestant(c, workload) for c in settings.taking_part(workload)],
        )
        for name, workload in settings.measure.workloads.items()
    ]
