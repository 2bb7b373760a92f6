"""What every study's section of the configuration holds for the spine, whatever it adds to it."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from scripts.lib.typed import Label, Model, Name, Text, Unique, setting

Role = Literal[
    "result", "reference", "implementation", "control", "baseline", "ceiling", "protocol",
    "original", "peer", "truth",
]  # fmt: skip
Level = Literal["identical", "rounding", "equivalent", "protocol"]
Metrics = Unique[str]
Margins = dict[str, Annotated[float, Field(ge=0)]]
# Tests of an arm's agreement, in the order of their rows.
TESTS = ("accurate", "close", "at_most", "equivalent", "not_worse")
# Roles that take part in a workload which names nobody.
MEASURED = ("reference", "result", "implementation", "peer")


class Claim(Model):
    """What an arm claims against the reference, and the tests it has to pass."""

    level: Level = setting("Claimed level.")
    min_pairs: int = setting(
        "Pairs below which nothing is concluded, beyond those that the power of each test needs.",
        default=2, ge=2, le=10**6,
    )  # fmt: skip
    accurate: Margins = setting(
        "As close to the truth as the reference: resolution of each metric, below which distances "
        "count as equal.",
        default={},
    )
    close: Margins = setting("Largest absolute difference allowed.", default={})
    at_most: Margins = setting("Largest value of the arm allowed.", default={})
    equivalent: Margins = setting("TOST margin in units of the cell mean.", default={})
    not_worse: Margins = setting("Non-inferiority margin in units of the cell mean.", default={})
    reported: Metrics = setting("Metrics shown without a test.", default=[])

    def tests(self) -> dict[str, Margins]:
        """Margins of each metric, by test."""
        return {name: getattr(self, name) for name in TESTS}


class Arm(Model):
    """One implementation of the unit, described once: all else follows from its role."""

    renamed: ClassVar = {"trainer": "implementation"}
    about: Text = setting("What it is, in a sentence of the report.")
    role: Role = setting("What it is for.")
    claim: Claim | None = setting(
        "What it claims against the reference, or against the arm of `beside`.", default=None
    )
    package: Text | None = setting(
        "Of a peer: the package that it calls; where that is not installed, the arm is left out.",
        default=None,
    )
    beside: Name | None = setting(
        "Of a peer: the arm that does the same work; the reference, if left out.", default=None
    )


class Agreement(Model):
    """How agreement is tested."""

    renamed: ClassVar = {
        "split": "strata",
        "reference": "/arms.<name>.role",
        "arms": "/arms.<name>.claim",
    }
    strata: str = setting("Axis at each value of which every test must pass.")
    factor: float = setting(
        "`accurate`: median distance from the truth allowed, in those of the reference.",
        default=3.0, gt=1,
    )  # fmt: skip
    tail: float = setting(
        "`accurate`: distance of one unit, in that of its reference, beyond which it stands out.",
        default=100.0, gt=1,
    )  # fmt: skip


class Summary(Model):
    """Metrics of summary.csv."""

    means: Metrics = setting("Reported as mean with MCSE.")
    proportions: Metrics = setting("Reported as share with Wilson interval.")


class Contestant(Model):
    """An arm with its processes and threads."""

    arm: Name = setting("Name of an arm.")
    threads: int = setting("Threads of each process.", default=1, ge=1, le=1024)
    parallel: bool = setting("Units dealt to `workers` processes.", default=False)


class Workload(Model):
    """What each contestant computes in a round."""

    # Rounds beyond these sharpen no interval.
    repeats: int = setting("Measured rounds; 0 switches the workload off.", ge=0, le=100)
    contestants: Annotated[Unique[Name], Field(min_length=1)] | None = setting(
        "Who takes part, in the order of a round; by role, if nobody is named.", default=None
    )
    trace_memory: bool = setting("Record tensor bytes in place of time.", default=False)
    where: str = setting("Part of the study whose agreement counts; all, if empty.", default="")

    @property
    def rounds(self) -> range:
        """Numbers of its rounds: the warm-up 0, then those that are measured; none if it is off."""
        return range(self.repeats + 1 if self.repeats else 0)


class Compare(Model):
    """The baseline of every ratio, and its twin that gives the noise floor."""

    baseline: Name = setting("Contestant.")
    baseline_again: Name = setting("The same arm once more.")


class Measure(Model):
    """What is timed. Every arm is a contestant under its own name."""

    workers: int = setting("Processes of parallel contestants.", ge=2, le=1024)
    contestants: dict[Name, Contestant] = setting("Further ways of running an arm.", default={})
    workloads: dict[Name, Workload] = setting("What is computed, by name.", min_length=1)
    compare: Compare = setting("The baseline of every ratio and its twin.")


class Figure(Model):
    """Small panels of a metric against an axis."""

    metric: str = setting("Column of the runs.")
    label: Text = setting("Axis label.")
    panel: str = setting("Axis with one panel per value.")
    x: str = setting("Axis along x.")


class Report(Model):
    """The study's chapter of the report."""

    renamed: ClassVar = {"arm": "/arms.<name>.role"}
    title: Text = setting("Heading.")
    only: dict[str, Label] = setting("Values of axes shown in figure and table.", default={})
    figure: Figure = setting("Figure of the result.")
    table: Metrics = setting("Metrics of the table, of those in `summary`.", min_length=1)
    phases: Metrics = setting("Exclusive phases; columns <phase>_s.", min_length=1)
    phases_of: Name = setting("Workload whose phases are shown.")


class StudySettings(Model):
    """The section of a study."""

    renamed: ClassVar = {"run": "arms.<name>.run"}
    arms: dict[Name, Arm] = setting("Implementations of the unit, by name.", min_length=1)
    agreement: Agreement = setting("How agreement is tested.")
    summary: Summary = setting("Metrics of summary.csv.")
    measure: Measure = setting("What is timed.")
    report: Report = setting("The study's chapter of the report.")

    def with_role(self, *roles: str) -> list[str]:
        """Arms with one of these roles, in the order of the configuration."""
        return [name for name, arm in self.arms.items() if arm.role in roles]

    @property
    def reference(self) -> str:
        """The arm that defines the right answer."""
        return self.with_role("reference")[0]

    @property
    def truth(self) -> str | None:
        """The reference in float64, from which distances are measured; None without one."""
        return next(iter(self.with_role("truth")), None)

    @property
    def result(self) -> str:
        """The arm whose units are the study's result; the reference, where no other is."""
        return (self.with_role("result") or [self.reference])[0]

    @property
    def contestants(self) -> dict[str, Contestant]:
        """Every arm once, and the further ways of running one."""
        return {name: Contestant(arm=name) for name in self.arms} | self.measure.contestants

    def taking_part(self, workload: Workload) -> list[str]:
        """Contestants of a workload: those it names, or the baseline's twin and all by role."""
        if workload.contestants is not None:
            return workload.contestants
        names = self.with_role(*MEASURED)
        return list(dict.fromkeys([*names, self.measure.compare.baseline_again]))

    def claims(self) -> dict[str, Claim]:
        """What the arms claim that claim something."""
        return {name: arm.claim for name, arm in self.arms.items() if arm.claim}

    def beside(self, peer: str) -> str:
        """The arm against which a peer's claim is tested, and beside which it is shown."""
        return self.arms[peer].beside or self.reference

    def described(self) -> list[dict[str, Any]]:
        """Name, role and sentence of each arm, for the report."""
        return [{"name": n, "role": a.role, "about": a.about} for n, a in self.arms.items()]
