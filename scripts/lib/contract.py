"""Names in the sections of a study that the spine reads: each must exist in the study."""

from collections.abc import Iterable
from typing import Any

from scripts.lib.config import (
    JOBS,
    LETTERS,
    UNITS,
    check_config,
    check_member,
    check_size,
)
from scripts.lib.faults import ConfigError
from scripts.lib.sentences import told
from scripts.lib.spec import canonical

# Kinds of metrics (number, flag, list, label) that a test or a table can be about.
ANY, NUMBERS, FLAGS = ("number", "flag", "list"), ("number", "flag"), ("flag",)
TESTS = {"close": ANY, "mostly": ANY, "at_most": NUMBERS, "equivalent": NUMBERS}
TESTS |= {"not_worse": NUMBERS, "reported": ANY}
COSTS = ("fit_s", "cpu_s")  # columns of all rows
SCIENCE = "snakemake --cores all science"


def check_contract(
    study: str,
    config: dict,
    axes: list[str],
    metrics: dict[str, str],
    phases: list[str],
    values: dict[str, list] | None = None,
) -> None:
    """Raise ConfigError unless what the spine reads of a study's section exists in the study.

    `metrics` has the kind of each; `values` those of axes that are known before the first job.
    """
    check_config(config, "study.schema.yaml", at=study)
    kinds = metrics | dict.fromkeys([*COSTS, *(f"{phase}_s" for phase in phases)], "number")
    _check_agreement(f"{study}.agreement", config, axes, kinds)
    for key, wanted in (("means", NUMBERS), ("proportions", FLAGS)):
        _check_metrics(config["summary"][key], kinds, wanted, f"{study}.summary.{key}")
    _check_measure(f"{study}.measure", config)
    _check_report(f"{study}.report", config, axes, kinds, phases, values or {})


def _check_metrics(
    names: Iterable[str], kinds: dict[str, str], wanted: tuple[str, ...], where: str
) -> None:
    allowed = [name for name, kind in kinds.items() if kind in wanted]
    for name in names:
        check_member(name, allowed, where)


def _check_agreement(where: str, config: dict, axes: list[str], kinds: dict[str, str]) -> None:
    agreement, arms = config["agreement"], config["arms"]
    check_member(agreement["reference"], arms, f"{where}.reference")
    check_member(agreement["split"], axes, f"{where}.split")
    for arm, rule in agreement["arms"].items():
        check_member(arm, arms, f"{where}.arms: arm")
        for test, wanted in TESTS.items():
            _check_metrics(rule.get(test, ()), kinds, wanted, f"{where}.arms.{arm}.{test}")


def _check_measure(where: str, config: dict) -> None:
    measure, arms = config["measure"], config["arms"]
    contestants = measure["contestants"]
    for name, contestant in contestants.items():
        check_member(contestant["arm"], arms, f"{where}.contestants.{name}.arm")
    for name, workload in measure["workloads"].items():
        for contestant in workload["contestants"]:
            check_member(contestant, contestants, f"{where}.workloads.{name}.contestants")
    for key, name in measure["compare"].items():
        check_member(name, contestants, f"{where}.compare.{key}")
    baseline, again = (measure["compare"][key] for key in ("baseline", "baseline_again"))
    runs = {name: _way(contestant) for name, contestant in contestants.items()}
    if again == baseline or runs[again] != runs[baseline]:
        twins = [name for name in runs if name != baseline and runs[name] == runs[baseline]]
        raise ConfigError(
            f"Config: {where}.compare.baseline_again is {again}; the noise floor is measured by "
            f"another contestant with the arm, threads and parallel of {baseline}: "
            f"{' or '.join(twins) or 'add one to contestants'}."
        )


def _way(contestant: dict) -> tuple[Any, ...]:
    defaults = {"threads": 1, "parallel": False}
    return tuple((defaults | contestant)[key] for key in ("arm", "threads", "parallel"))


def _check_report(
    where: str,
    config: dict,
    axes: list[str],
    kinds: dict[str, str],
    phases: list[str],
    values: dict[str, list],
) -> None:
    report, summary = config["report"], config["summary"]
    check_member(report["arm"], config["run"], f"{where}.arm")
    _check_metrics([report["figure"]["metric"]], kinds, NUMBERS, f"{where}.figure.metric")
    for key in ("panel", "x"):
        check_member(report["figure"][key], axes, f"{where}.figure.{key}")
    for name in report["table"]:
        # The table shows rows of summary.csv.
        check_member(name, summary["means"] + summary["proportions"], f"{where}.table")
    for axis, value in report.get("only", {}).items():
        check_member(axis, axes, f"{where}.only: axis")
        if axis in values:
            check_member(value, values[axis], f"{where}.only.{axis}")
    for name in report["phases"]:
        check_member(name, phases, f"{where}.phases")
    check_member(report["phases_of"], config["measure"]["workloads"], f"{where}.phases_of")


def check_planned(study: str, config: dict, runs: Iterable[str], plan: list[dict]) -> None:
    """Raise ConfigError unless a study's jobs can be told, and its report has something to say.

    `runs` are the study's run files, `plan` its measurement. One command holds the names of all
    run files, another one the plan.
    """
    runs = list(runs)
    ran = {path.partition("/runs/")[2].partition("/")[0] for path in runs}
    check_size(len(runs), JOBS, "jobs", study, "use larger blocks")
    letters = sum(len(path) + 20 for path in runs)
    check_size(letters, LETTERS, "characters of file names", study, "use larger blocks")
    letters, remedy = len(canonical(plan)), "use fewer repeats, workloads or contestants"
    check_size(letters, LETTERS, "characters of plan", f"{study}.measure.workloads", remedy)
    arm, agreement = config["report"]["arm"], config["agreement"]
    if arm not in ran:
        raise ConfigError(
            f"Config: {study}.run.{arm} computes nothing, but {arm} is the result of the study, "
            f"{study}.report.arm."
        )
    if not ran & set(agreement["arms"]):
        raise ConfigError(
            f"Config: {study}.run has none of {study}.agreement.arms, so nothing is compared with "
            f"{agreement['reference']}; let one of them compute a unit."
        )
    _check_ratios(f"{study}.measure", config["measure"])


def _check_ratios(where: str, measure: dict) -> None:
    """Something is measured, and beside the baseline."""
    baseline, contestants = measure["compare"]["baseline"], measure["contestants"]
    active = {name: load for name, load in measure["workloads"].items() if load["repeats"]}
    if not active:
        raise ConfigError(
            f"Config: {where}.workloads all have repeats 0, so the report has nothing to tell of "
            f"cost; leave one and ask for the answers alone, which measures nothing: {SCIENCE}."
        )
    for name, workload in active.items():
        parallel = [name for name in workload["contestants"] if contestants[name].get("parallel")]
        if parallel and baseline not in workload["contestants"]:
            raise ConfigError(
                f"Config: {where}.workloads.{name}.contestants is without {baseline}, with which "
                f"{parallel[0]} is compared; add it."
            )
    if not any({baseline} < set(workload["contestants"]) for workload in active.values()):
        raise ConfigError(
            f"Config: {where}.workloads with repeats have nobody beside {baseline}, so there is no "
            "ratio; add a contestant to one of them."
        )


def check_rounds(where: str, workload: dict, units: int) -> None:
    """Raise ConfigError if a workload with so many units a round is too long to be told."""
    count = (workload["repeats"] + 1) * units if workload["repeats"] else 0
    check_size(count, UNITS, "units in all rounds", where, "use fewer repeats or units")


def check_announced(study: str, **announced: dict) -> None:
    """Raise ConfigError unless a study has told each of AXES, METRICS and PHASES."""
    for name, entries in announced.items():
        if study not in entries:
            raise ConfigError(
                f"Config: {study} cannot be checked: workflow/rules/{study}.smk must announce "
                f"{name}[{told(study)}], as CONTRIBUTING.md says."
            )
