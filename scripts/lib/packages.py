"""Arms that can or shall run: those whose package is there, those that `only` names."""

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import TypeVar

from scripts.lib.config import check_member
from scripts.lib.faults import ConfigError
from scripts.lib.sections import StudySettings

S = TypeVar("S", bound=StudySettings)
INSTALLED_BY = (
    "`make peers` installs what arms are compared by, `make gpu` what those for a GPU call"
)


def installed(package: str) -> str:
    """The version of a package; "" where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def package_of(settings: StudySettings, arm: str) -> str:
    """An arm's `package` with its version: "engression 1.1.0"; "" if it names none.

    It is in the specification of the arm's jobs: another version computes them again.
    """
    package = settings.arms[arm].package
    return f"{package} {installed(package)}" if package else ""


def missing(settings: StudySettings) -> dict[str, str]:
    """Arms whose package is not installed, with its name."""
    packages = {name: settings.arms[name].package for name in settings.optional()}
    return {
        name: package for name, package in packages.items() if package and not installed(package)
    }


def without(settings: S, arms: Iterable[str]) -> S:
    """The section as if these arms and their contestants did not stand in it.

    A workload in which nobody but the baseline is left is switched off.
    """
    arms, measure = set(arms), settings.measure
    gone = {name for name, entry in settings.contestants.items() if entry.arm in arms}
    workloads = dict(measure.workloads)
    for name, workload in workloads.items():
        named = workload.contestants or ()
        left = [contestant for contestant in named if contestant not in gone]
        if workload.baseline in gone or (named and not left):
            baseline = None if workload.baseline in gone else workload.baseline
            off = {"contestants": [baseline or measure.compare.baseline], "rounds": 0}
            workloads[name] = workload.model_copy(update=off | {"baseline": baseline})
        elif len(left) < len(named):
            workloads[name] = workload.model_copy(update={"contestants": left})
    further = {name: entry for name, entry in measure.contestants.items() if name not in gone}
    kept = {name: arm for name, arm in settings.arms.items() if name not in arms}
    changed = {"contestants": further, "workloads": workloads}
    return settings.model_copy(update={"arms": kept, "measure": measure.model_copy(update=changed)})


def set_aside(settings: StudySettings, study: str) -> list[str]:
    """Arms that `only` leaves out; ConfigError where it names what cannot run."""
    if settings.only is None:
        return []
    absent = missing(settings)
    for name in settings.only:
        check_member(name, settings.arms, f"{study}.only")
        if name in absent:
            raise ConfigError(
                f"Config: {study}.only has {name}, whose package {absent[name]} is not installed; "
                f"{INSTALLED_BY}."
            )
    return [name for name in settings.arms if name not in settings.kept()]


def left_out(study: str, absent: dict[str, str]) -> str:
    """The sentence for arms that are left out; "" if there are none."""
    if not absent:
        return ""
    packages = list(dict.fromkeys(absent.values()))
    verb = "are" if len(packages) > 1 else "is"
    return (
        f"{study}: left out {', '.join(absent)}, as {', '.join(packages)} {verb} not installed; "
        f"{INSTALLED_BY}."
    )
