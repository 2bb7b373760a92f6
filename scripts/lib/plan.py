"""What `measure` runs and in which order, from the section `measure` of a configuration."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from scripts.lib.sections import StudySettings
from scripts.lib.typed import Model
from scripts.lib.workloads import Workload, twin

UnitLabels = list[Any]  # of one unit, e.g. ["normal", 100, 3]


class Planned(Model):
    """A contestant of a workload: `job` is its arm's, without units, as its study knows it."""

    contestant: str
    arm: str
    workers: int
    threads: int
    job: Any


class PlannedWorkload(Model):
    """A workload with the units of its rounds and the contestants in turn.

    `again` is the twin of `baseline`; both are among the contestants.
    """

    workload: str
    where: str
    trace_memory: bool
    budget_s: float
    baseline: str
    again: str
    rounds: list[list[Any]]
    contestants: list[Planned]


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


def measurement_plan(
    settings: StudySettings,
    units_of: Callable[[Workload, int], Sequence[UnitLabels]],
    job_of: Callable[[str, Workload], Model],
) -> list[PlannedWorkload]:
    """The workloads with their rounds; those that are switched off are none of it.

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
            budget_s=workload.budget_s,
            baseline=settings.baseline_of(workload),
            again=twin(settings.baseline_of(workload)),
            rounds=[list(units_of(workload, number)) for number in workload.numbers],
            contestants=[contestant(c, workload) for c in settings.taking_part(workload)],
        )
        for name, workload in settings.measure.workloads.items()
        if workload.rounds
    ]


def turns(workload: PlannedWorkload, number: int) -> list[Call]:
    """The calls of a round, counted from 1: every contestant once.

    Each round starts with another contestant, so that none always follows the same one.
    """
    entries, turn = workload.contestants, (number - 1) % len(workload.contestants)
    return [
        Call(
            workload=workload.workload,
            where=workload.where,
            trace_memory=workload.trace_memory,
            contestant=entry.contestant,
            arm=entry.arm,
            workers=entry.workers,
            threads=entry.threads,
            round=number,
            units=workload.rounds[number - 1],
            job=entry.job,
        )
        for entry in entries[turn:] + entries[:turn]
    ]
