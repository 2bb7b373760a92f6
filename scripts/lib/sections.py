"""What every study's section of the configuration holds for the spine, whatever it adds to it."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from scripts.lib.devices import Device
from scripts.lib.overlays import Limit
from scripts.lib.typed import CALLED, Label, Model, Name, Text, Unique, setting
from scripts.lib.workloads import Baselines, Contestant, Measure, Workload, twin

Role = Literal[
    "result", "reference", "implementation", "control", "baseline", "ceiling", "protocol",
    "original", "peer", "truth",
]  # fmt: skip
Level = Literal["identical", "rounding", "equivalent", "protocol"]
Metrics = Unique[str]
Margins = dict[str, Annotated[float, Field(ge=0)]]
# Tests of an arm's agreement, in the order of their rows.
TESTS = ("accurate", "close", "at_most", "equivalent", "not_worse", "not_better")
# Those of the mean difference in units of the cell mean; is it bounded below, and above?
RELATIVE = {"equivalent": (True, True), "not_worse": (False, True), "not_better": (True, False)}
# Roles that take part in a workload which names nobody.
MEASURED = ("reference", "result", "implementation", "peer")
# Roles of arms that may call a package which is not everywhere: no other arm rests on these.
OPTIONAL = ("peer", "implementation")


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
    not_better: Margins = setting(
        "The same of what it is compared with: of a peer, that ours is not worse.", default={}
    )
    reported: Metrics = setting("Metrics shown without a test.", default=[])

    def tests(self) -> dict[str, Margins]:
        """Margins of each metric, by test."""
        return {name: getattr(self, name) for name in TESTS}


class Arm(Model):
    """One implementation of the unit, described once: all else follows from its role."""

    renamed: ClassVar = {"trainer": "implementation"}
    about: Text = setting("What it is, in a sentence of the report.")
    label: Text | None = setting(CALLED, default=None)
    role: Role = setting("What it is for.")
    claim: Claim | None = setting(
        "What it claims against the reference, or against the arm of `beside`.", default=None
    )
    package: Text | None = setting(
        "Of a peer or an implementation: the package that it calls and not every environment has; "
        "where that is not installed, the arm is left out.",
        default=None,
    )
    device: Device | None = setting(
        "Where it computes, if it can there; as its study says, if left out.", default=None
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
    headline: Name | None = setting(
        "Workload whose ratio stands for the study; that of phases_of, if left out.", default=None
    )


class StudySettings(Model):
    """The section of a study; `limits` are fitted to an overlay (scripts/lib/overlays.py)."""

    renamed: ClassVar = {"run": "arms.<name>.run"}
    limits: ClassVar[tuple[Limit, ...]] = (
        Limit("report.table", lambda s: s["summary"]["means"] + s["summary"]["proportions"]),
    )
    only: Annotated[Unique[Name], Field(min_length=1)] | None = setting(
        "Arms that run, with those that they are compared with or wait for; all, if left out.",
        default=None,
    )
    device: Device | None = setting(
        "Where arms that can compute on a GPU do; as the key of all studies says, if left out.",
        default=None,
    )
    arms: dict[Name, Arm] = setting("Implementations of the unit, by name.", min_length=1)
    agreement: Agreement = setting("How agreement is tested.")
    summary: Summary = setting("Metrics of summary.csv.")
    measure: Measure = setting("What is timed.")
    report: Report = setting("The study's chapter of the report.")

    def device_asked(self, arm: str) -> Device | None:
        """Where an arm is to compute, if it can there."""
        return self.arms[arm].device or self.device

    @property
    def own_data(self) -> list[str]:
        """Data of the user's own that the study is about, by name; others' claims are not."""
        return []

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
        """Every arm once, the further ways of running one, and the twins of the baselines."""
        known = {name: Contestant(arm=name) for name in self.arms} | self.measure.contestants
        baselines = dict.fromkeys(map(self.baseline_of, self.measure.workloads.values()))
        unknown = Contestant(arm=self.reference)
        return known | {twin(name): known.get(name, unknown) for name in baselines}

    def baseline_of(self, workload: Workload) -> str:
        """The contestant that the ratios of a workload are about."""
        return workload.baseline or self.measure.compare.baseline

    def baselines(self) -> Baselines:
        """The baselines of all workloads, for the stages after the measurement."""
        loads = self.measure.workloads
        return Baselines(
            baseline=self.measure.compare.baseline,
            reference=self.reference,
            own={name: load.baseline for name, load in loads.items() if load.baseline},
            apart=[n for n in self.with_role("peer") if self.beside(n) != self.reference],
        )

    def taking_part(self, workload: Workload) -> list[str]:
        """Contestants of a workload: the baseline, its twin, and those it names or all by role."""
        baseline, named = self.baseline_of(workload), workload.contestants
        others = self.with_role(*MEASURED) if named is None else named
        return list(dict.fromkeys([baseline, twin(baseline), *others]))

    def claims(self) -> dict[str, Claim]:
        """What the arms claim that claim something."""
        return {name: arm.claim for name, arm in self.arms.items() if arm.claim}

    def beside(self, peer: str) -> str:
        """The arm against which a peer's claim is tested, and beside which it is shown."""
        return self.arms[peer].beside or self.reference

    def optional(self) -> list[str]:
        """Arms that may be left out for want of a package."""
        return [name for name, arm in self.arms.items() if arm.role == "peer" or arm.package]

    def idle(self, name: str) -> bool:
        """Whether an arm is switched off (a limit of its `run` is 0) and is not measured either."""
        run = getattr(self.arms[name], "run", None)
        limits = [limit for limit in vars(run).values() if type(limit) is int] if run else []
        loads = [load for load in self.measure.workloads.values() if load.rounds]
        measured = {one for load in loads for one in self.taking_part(load)}
        ways = [way for way, entry in self.contestants.items() if entry.arm == name]
        return 0 in limits and measured.isdisjoint(ways)

    def kept(self) -> list[str]:
        """Arms that run, if `only` names some: these, and whom they cannot do without.

        The reference and the result, what they wait for, the arms that peers stand beside, the
        baseline of the ratios, and the truth where a claim is about distances from it.
        """
        named = [*(self.only or self.arms), self.reference, self.result, *self.waited_for()]
        known = dict.fromkeys(name for name in named if name in self.arms)
        known |= {self.beside(name): None for name in list(known)}
        known |= {self.contestants[self.measure.compare.baseline].arm: None}
        claims = [self.arms[name].claim for name in known]
        if self.truth and any(claim and claim.accurate for claim in claims):
            known |= {self.truth: None}
        return [name for name in self.arms if name in known]

    def waited_for(self) -> list[str]:
        """Arms whose rows others wait for."""
        return []

    def described(self) -> list[dict[str, Any]]:
        """Name, role and sentence of each arm, for the report."""
        return [
            {"name": n, "role": a.role, "about": a.about, "claims": a.claim is not None}
            for n, a in self.arms.items()
        ]

    def labels(self) -> dict[str, str]:
        """What the report calls each arm and contestant, by its name."""
        return labels_of(self.contestants | self.arms)

    def workload_labels(self) -> dict[str, str]:
        """What the report calls each workload, by its name."""
        return labels_of(self.measure.workloads)

    def specific(self) -> dict[str, Any]:
        """The keys that only this study has, as plain values, for the words of its chapter."""
        return self.model_dump(mode="json", exclude=set(StudySettings.model_fields))


def labels_of(named: Mapping[str, Arm | Contestant | Workload]) -> dict[str, str]:
    """The label of each, or its name in words."""
    return {name: entry.label or in_words(name) for name, entry in named.items()}


def in_words(name: str) -> str:
    """A name of the configuration as words."""
    return name.replace("_", " ")
