"""What the spine knows of a study, and what it checks of it before the first job."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from scripts.lib.config import JOBS, LETTERS, UNITS, check_member, check_size
from scripts.lib.faults import ConfigError
from scripts.lib.packages import package_of
from scripts.lib.plan import PlannedWorkload
from scripts.lib.sections import OPTIONAL, RELATIVE, TESTS, Arm, Claim, Report, StudySettings
from scripts.lib.spec import canonical
from scripts.lib.workloads import Workload, twin

# Kinds of metrics (number, share, flag, list, label) that a test or table can be about. Shares lie
# within 0 and 1, and so does the interval of their mean.
NUMBERS, FLAGS = ("number", "share", "flag"), ("flag",)
ANY = (*NUMBERS, "list")
KINDS = dict.fromkeys(TESTS, ANY) | dict.fromkeys(("at_most", *RELATIVE), NUMBERS)
COSTS = ("fit_s", "cpu_s")  # columns of all rows
SCIENCE = "snakemake --cores all science"


@dataclass(frozen=True)
class Study:
    """A study as its `jobs.py` (or the spine, for a study of two stages) announces it.

    `axes`: columns that name a unit, the replicate last. `metrics`: kind of each metric of its
    rows. `values`: those of axes that are known before the first job. `runs`: run files. `data`:
    files that the measured arms read, by name; `script` has `run`, which is timed; `code`: further
    scripts that it may run; `plan`: makes what is measured; `kernel`: the folder of compiled code.
    `drawn`: tables from which draw.py makes the figures, by name.
    `chapter`: further tables (CSV) and figures (JSON of SVG texts) of its chapter. `left_out`: the
    arms that are left out, and why, in a sentence.
    """

    name: str
    settings: StudySettings
    axes: list[str]
    metrics: dict[str, str]
    phases: list[str]
    values: dict[str, Sequence] = field(default_factory=dict)
    runs: list[str] = field(default_factory=list)
    data: dict[str, list[str]] = field(default_factory=dict)
    script: str = ""
    code: tuple[str, ...] = ()
    plan: Callable[[], list[PlannedWorkload]] = list
    kernel: str | None = None
    drawn: dict[str, list[str]] = field(default_factory=dict)
    chapter: list[str] = field(default_factory=list)
    left_out: str = ""

    def aggregation(self) -> dict[str, Any]:
        """What `aggregate` is told."""
        summary, kinds = self.settings.summary, self.metrics
        shares = [name for name in summary.means if kinds.get(name) in ("share", "flag")]
        return {"axes": self.axes, "summary": summary, "shares": shares}

    def agreement(self) -> dict[str, Any]:
        """What `agree` is told."""
        settings = self.settings
        # A peer beside another arm makes no claim about the reference: peers.csv has its test.
        tested = (name for name in settings.claims() if settings.beside(name) == settings.reference)
        claims = {name: settings.claims()[name].model_dump() for name in tested}
        told = {"axes": self.axes, "reference": settings.reference, "truth": settings.truth}
        return told | {"arms": claims, "agreement": settings.agreement}

    def peers(self) -> dict[str, Any]:
        """What the table of peers is told."""
        settings = self.settings
        told = {"axes": self.axes, "agreement": settings.agreement, "truth": settings.truth}
        told |= {"result": settings.result, "baselines": settings.baselines()}
        peers = {
            name: {"package": package_of(settings, name), "beside": settings.beside(name)}
            | {"claim": arm.claim and arm.claim.model_dump()}
            for name, arm in settings.arms.items()
            if arm.role == "peer"
        }
        return told | {"peers": peers}

    def ledger(self) -> dict[str, Any]:
        """What the ledger is told."""
        settings = self.settings
        return {"baselines": settings.baselines(), "own_data": settings.own_data}

    def page(self) -> dict[str, Any]:
        """What `report` is told."""
        settings = self.settings
        report = settings.report.model_dump() | settings.measure.compare.model_dump()
        told = {"axes": self.axes, "reference": settings.reference, "arm": settings.result}
        told |= {"about": settings.described(), "left_out": self.left_out}
        told |= {"settings": settings.specific(), "labels": settings.labels()}
        told |= {"workloads": settings.workload_labels()}
        return report | told | {"strata": settings.agreement.strata, "study": self.name}


def check_contract(study: Study) -> None:
    """Raise ConfigError unless what the spine reads of a study's section exists in the study."""
    settings, at = study.settings, study.name
    _check_roles(at, settings)
    timed = [*COSTS, *(f"{phase}_s" for phase in study.phases)]
    kinds = study.metrics | dict.fromkeys(timed, "number")
    check_member(settings.agreement.strata, study.axes, f"{at}.agreement.strata")
    for arm, claim in settings.claims().items():
        _check_claim(f"{at}.arms.{arm}.claim", claim, kinds)
    _check_metrics(settings.summary.means, kinds, NUMBERS, f"{at}.summary.means")
    _check_metrics(settings.summary.proportions, kinds, FLAGS, f"{at}.summary.proportions")
    _check_measure(f"{at}.measure", settings)
    _check_report(f"{at}.report", study, settings.report, kinds)


def _check_roles(at: str, settings: StudySettings) -> None:
    for role, least in (("reference", 1), ("result", 0), ("truth", 0)):
        named = settings.with_role(role)
        if not least <= len(named) <= 1:
            told = ", ".join(named) or "none"
            raise ConfigError(f"Config: {at}.arms have the role {role}: {told}; give it to one.")
    for name, claim in settings.claims().items():
        if claim.accurate and settings.truth is None:
            raise ConfigError(
                f"Config: {at}.arms.{name}.claim.accurate compares with the truth, but no arm has "
                "the role truth; give it to one, the reference in float64."
            )
    for name, arm in settings.arms.items():
        _check_peer(f"{at}.arms.{name}", settings, arm)


def _check_peer(where: str, settings: StudySettings, arm: Arm) -> None:
    """A peer stands beside an arm of ours; what may be missing is no arm that others rest on."""
    if arm.role == "peer":
        ours = [name for name in settings.arms if name not in settings.optional()]
        check_member(arm.beside or settings.reference, ours, f"{where}.beside")
    for key, roles in {"package": OPTIONAL, "beside": ("peer",)}.items():
        if arm.role not in roles and getattr(arm, key) is not None:
            told = " and ".join(roles)
            raise ConfigError(f"Config: {where}.{key} is for the role {told} only; take it out.")


def _check_metrics(
    names: Iterable[str], kinds: dict[str, str], wanted: tuple[str, ...], where: str
) -> None:
    allowed = [name for name, kind in kinds.items() if kind in wanted]
    for name in names:
        check_member(name, allowed, where)


def _check_claim(where: str, claim: Claim, kinds: dict[str, str]) -> None:
    for test, margins in claim.tests().items():
        _check_metrics(margins, kinds, KINDS[test], f"{where}.{test}")
    _check_metrics(claim.reported, kinds, ANY, f"{where}.reported")


def _check_measure(where: str, settings: StudySettings) -> None:
    measure, contestants = settings.measure, settings.contestants
    for name, contestant in measure.contestants.items():
        check_member(contestant.arm, settings.arms, f"{where}.contestants.{name}.arm")
    for name, workload in measure.workloads.items():
        for contestant in workload.contestants or ():
            check_member(contestant, contestants, f"{where}.workloads.{name}.contestants")
    named = {f"{where}.compare.baseline": measure.compare.baseline}
    for name, workload in measure.workloads.items():
        named |= {f"{where}.workloads.{name}.baseline": settings.baseline_of(workload)}
    ways = [*settings.arms, *measure.contestants]
    optional = settings.optional()
    optional = {name for name, entry in contestants.items() if entry.arm in optional}
    for key, baseline in named.items():
        if twin(baseline) in ways:
            raise ConfigError(
                f"Config: {where} has a contestant {twin(baseline)}, which is the name of the twin "
                f"of {baseline}; the twin takes part by itself, so leave it out."
            )
        # Their package may be missing, and a workload with it would be about nobody.
        check_member(baseline, [name for name in ways if name not in optional], key)


def _check_report(where: str, study: Study, report: Report, kinds: dict[str, str]) -> None:
    summary = study.settings.summary
    _check_metrics([report.figure.metric], kinds, NUMBERS, f"{where}.figure.metric")
    check_member(report.figure.panel, study.axes, f"{where}.figure.panel")
    check_member(report.figure.x, study.axes, f"{where}.figure.x")
    for name in report.table:
        # The table shows rows of summary.csv.
        check_member(name, summary.means + summary.proportions, f"{where}.table")
    for axis, value in report.only.items():
        check_member(axis, study.axes, f"{where}.only: axis")
        if axis in study.values:
            check_member(value, study.values[axis], f"{where}.only.{axis}")
    for name in report.phases:
        check_member(name, study.phases, f"{where}.phases")
    for key in ("phases_of", "headline"):
        if (workload := getattr(report, key)) is not None:
            check_member(workload, study.settings.measure.workloads, f"{where}.{key}")


def check_planned(study: Study) -> None:
    """Raise ConfigError unless a study's jobs can be told, and something is compared.

    One job reads all run files.
    """
    at, settings = study.name, study.settings
    ran = {path.partition("/runs/")[2].partition("/")[0] for path in study.runs}
    check_size(len(study.runs), JOBS, "jobs", at, "use larger blocks")
    if settings.result not in ran:
        raise ConfigError(
            f"Config: {at}.arms.{settings.result}.run computes nothing, but {settings.result} is "
            "the result of the study."
        )
    if not ran & set(settings.claims()):
        raise ConfigError(
            f"Config: {at}.arms that claim something compute nothing, so nothing is compared with "
            f"{settings.reference}; let one of them compute a unit."
        )
    for name in settings.only or ():
        if name not in ran:
            raise ConfigError(
                f"Config: {at}.only has {name}, whose run has no unit; give it some in {at}.arms."
                f"{name}.run."
            )


def check_measured(study: Study, plan: list[PlannedWorkload]) -> None:
    """Raise ConfigError unless the measurement can be told, and tells a ratio.

    What asks for the answers alone measures nothing, and is not asked for it.
    """
    letters, remedy = len(canonical(plan)), "use fewer rounds, workloads or contestants"
    where = f"{study.name}.measure"
    check_size(letters, LETTERS, "characters of plan", f"{where}.workloads", remedy)
    _check_ratios(where, study.settings)


def _check_ratios(where: str, settings: StudySettings) -> None:
    """Something is measured, and beside the baseline of the study and its twin."""
    baseline = settings.measure.compare.baseline
    active = {name: load for name, load in settings.measure.workloads.items() if load.rounds}
    if not active:
        raise ConfigError(
            f"Config: {where}.workloads all have rounds 0, so the report has nothing to tell of "
            f"cost; leave one and ask for the answers alone, which measures nothing: {SCIENCE}."
        )
    own = {baseline, settings.measure.compare.again}
    if not any(own < set(settings.taking_part(workload)) for workload in active.values()):
        raise ConfigError(
            f"Config: {where}.workloads with rounds have nobody beside {baseline} and its twin, so "
            "there is no ratio; add a contestant to one of them."
        )


def check_rounds(where: str, workload: Workload, units: int) -> None:
    """Raise ConfigError if a workload with so many units a round is too long to be told."""
    check_size(
        len(workload.numbers) * units,
        UNITS,
        "units in all rounds",
        where,
        "use fewer rounds or units",
    )
