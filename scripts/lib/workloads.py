"""What every study's section says of its measurement: workloads, contestants, baselines."""

from typing import Annotated, ClassVar

from pydantic import Field

from scripts.lib.typed import CALLED, Model, Name, Text, Unique, setting


class Contestant(Model):
    """An arm with its processes and threads."""

    arm: Name = setting("Name of an arm.")
    label: Text | None = setting(CALLED, default=None)
    threads: int = setting("Threads of each process.", default=1, ge=1, le=1024)
    parallel: bool = setting("Units dealt to `workers` processes.", default=False)


class Workload(Model):
    """What each contestant computes in a round."""

    renamed: ClassVar = {"repeats": "rounds"}
    label: Text | None = setting(CALLED, default=None)
    rounds: int = setting(
        "Largest number of measured rounds; 0 switches the workload off.", ge=0, le=100
    )
    budget_s: float = setting(
        "Seconds after which no further round begins, if the ratios are still not precise.",
        default=10.0, gt=0, le=10**6,
    )  # fmt: skip
    contestants: Annotated[Unique[Name], Field(min_length=1)] | None = setting(
        "Who takes part beside the baseline and its twin; by role, if nobody is named.",
        default=None,
    )
    baseline: Name | None = setting(
        "Contestant that its ratios are about; that of `compare`, if left out.", default=None
    )
    trace_memory: bool = setting("Record tensor bytes in place of time.", default=False)
    where: str = setting("Part of the study whose agreement counts; all, if empty.", default="")

    @property
    def numbers(self) -> range:
        """Numbers of its rounds, from 1; none if it is off."""
        return range(1, self.rounds + 1)


def twin(baseline: str) -> str:
    """The name under which a baseline takes part once more, for the noise floor."""
    return f"{baseline}_again"


class Compare(Model):
    """The baseline of every ratio; its twin, which gives the noise floor, takes part by itself."""

    baseline: Name = setting("Contestant, in workloads that name no other.")

    @property
    def again(self) -> str:
        """The name of the twin."""
        return twin(self.baseline)


class Baselines(Compare):
    """What the ratios of a study are about, as stages are told."""

    reference: Name = setting("Arm that agreement is about.")
    own: dict[Name, Name] = setting("Baselines of workloads that name one.", default={})
    apart: list[Name] = setting(
        "Peers beside another arm than the reference; their ratios are in peers.csv.", default=[]
    )

    def pair(self, workload: str) -> tuple[str, str]:
        """The baseline of a workload and its twin."""
        baseline = self.own.get(workload, self.baseline)
        return baseline, twin(baseline)


class Measure(Model):
    """What is timed. Every arm is a contestant under its own name."""

    workers: int = setting("Processes of parallel contestants.", ge=2, le=1024)
    contestants: dict[Name, Contestant] = setting("Further ways of running an arm.", default={})
    workloads: dict[Name, Workload] = setting("What is computed, by name.", min_length=1)
    compare: Compare = setting("What every ratio is about.")
