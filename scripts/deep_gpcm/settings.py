"""What config/deep_gpcm.yaml may hold: keys with meaning and bounds, and what goes together."""

import os
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from scripts.deep_gpcm.options import (
    KNOWING,
    Baseline,
    DataSource,
    Evaluation,
    Generated,
    Heads,
    Loader,
    Memory,
    NetworkSettings,
    Step,
    Training,
)
from scripts.deep_gpcm.specs import STUDY
from scripts.lib.config import check_idle, check_member, check_size, differing
from scripts.lib.contract import check_rounds
from scripts.lib.faults import ConfigError
from scripts.lib.overlays import Limit
from scripts.lib.sections import Arm, Measure, StudySettings, Workload
from scripts.lib.typed import DataName, Model, Name, Unique, changes_of, setting

# Jobs and files of folds.
FILES = 1_000
# Of the keys of an arm that say how the model is computed, those that an evaluation reads.
COMPUTED = ("memory", "heads", "inference")
READ = {"stepwise": (), "hoisted": ("memory",), "tables": COMPUTED}


NetworkChanges, TrainingChanges = changes_of(NetworkSettings), changes_of(Training)


class Limits(Model):
    """Folds that an arm computes."""

    data: Annotated[Unique[str], Field(min_length=1)] | None = setting(
        "Only these data sets, where they are studied or compared on.", default=None
    )
    compared: bool = setting(
        "Without `data`: only the data sets that are compared on.", default=False
    )
    folds: int | None = setting(
        "Only the first folds; 0 switches the arm off.", default=None, ge=0, le=500
    )
    block: int | None = setting("Folds per job of this arm.", default=None, ge=1, le=10**6)


class GpcmArm(Arm):
    """A network, computed and trained in some way, or a simple or classical model."""

    evaluation: Evaluation | None = setting(
        "How the model is computed (scripts/deep_gpcm/models/choices.py).", default=None
    )
    memory: Memory = setting("How the memory is read (same file).", default="loop")
    heads: Heads = setting("Heads of the evaluation `tables`.", default="eager")
    inference: Heads = setting("The same for the test predictions.", default="eager")
    loader: Loader = setting("How batches are delivered.", default="resident")
    step: Step = setting("Implementation of Adam.", default="fused")
    model: NetworkChanges = setting("Over those of `model`.", default=NetworkChanges())
    train: TrainingChanges = setting("Over those of `train`.", default=TrainingChanges())
    baseline: Baseline | None = setting("A model in place of the network.", default=None)
    run: Limits = setting("Folds that it computes; all, if left out.", default=Limits())


class GpcmWorkload(Workload):
    """What is timed, and on what."""

    data: str | None = setting("Data set on which; the first of `data`.", default=None)
    where: str = setting(
        "Data set whose agreement counts; that on which `data` is compared.", default=""
    )


class Steps(GpcmWorkload):
    """Training steps on batches that are there already."""

    work: Literal["step"] = setting("What is timed (scripts/deep_gpcm/measured.py).")
    steps: int = setting("Training steps per round.", ge=1, le=100_000)


class Folds(GpcmWorkload):
    """Whole folds, loading and validation included."""

    work: Literal["folds"] = setting("What is timed.")
    epochs: int = setting("Epochs of each fold.", ge=1, le=100_000)


class Part(GpcmWorkload):
    """An epoch's batches without training, or predictions for the test students of a fold."""

    work: Literal["loading", "inference"] = setting("What is timed.")


class Classical(GpcmWorkload):
    """Items of a classical model from the training and validation students of a fold."""

    work: Literal["classical"] = setting("What is timed.")
    data: str | None = setting(
        "Data set on which; that on which the first of `data` is compared.", default=None
    )


class GpcmMeasure(Measure):
    """What is timed."""

    workloads: dict[
        Name, Annotated[Steps | Folds | Part | Classical, Field(discriminator="work")]
    ] = setting("What each contestant does in a round.", min_length=1)


def compared_first(section: dict[str, Any]) -> list[str]:
    """Data sets that are studied or compared on, those of the comparison first."""
    placed = [section["comparison"].get(name, name) for name in section["data"]]
    return list(dict.fromkeys([*placed, *section["data"]]))


def studied_first(section: dict[str, Any]) -> list[str]:
    """The same, those that are studied first."""
    return list(dict.fromkeys([*section["data"], *compared_first(section)]))


LIMITS = (
    Limit("arms.*.run.data", compared_first),
    Limit("arms.*.run.folds", lambda s: s["folds"] or 1),
    Limit("measure.workloads.*.data", studied_first),
    Limit("measure.workloads.*.where", compared_first),
)


class Section(StudySettings):
    """The section deep_gpcm."""

    limits: ClassVar = StudySettings.limits + LIMITS

    data: Annotated[Unique[str], Field(min_length=1)] = setting("Data sets to study, of `sources`.")
    comparison: dict[DataName, str] = setting(
        "Data sets in whose place slow arms are compared with the reference on another one; all "
        "others are compared on themselves.",
        default={},
    )
    sources: dict[DataName, DataSource] = setting(
        "Places that answers can come from, by name.", min_length=1
    )
    folds: int = setting("Folds over students; 0: one split, the first 80 % train.", ge=0, le=500)
    block: int = setting("Folds per job; changes no number.", ge=1, le=10**6)
    validation: float = setting(
        "Share of a fold's training students held out for choices.", gt=0, le=0.5
    )
    model: NetworkSettings = setting("Sizes and variants of the network.")
    train: Training = setting("Training options shared by all arms.")
    arms: dict[Name, GpcmArm] = setting("The network in many ways, and other models.", min_length=1)
    measure: GpcmMeasure = setting("What is timed.")

    @model_validator(mode="after")
    def _placed(self) -> Self:
        """Workloads that name no data are about the user's: the first that is studied."""
        loads = {name: self._with_data(load) for name, load in self.measure.workloads.items()}
        return self.model_copy(
            update={"measure": self.measure.model_copy(update={"workloads": loads})}
        )

    def _with_data(self, load: GpcmWorkload) -> GpcmWorkload:
        first = self.data[0]
        data = load.data or (self.compared_on(first) if isinstance(load, Classical) else first)
        where = load.where or self.compared_on(data)
        return load.model_copy(update={"data": data, "where": where})

    def compared_on(self, name: str) -> str:
        """The data set on which slow arms are compared in the place of this one; or it itself."""
        return self.comparison.get(name, name)

    @property
    def compared(self) -> list[str]:
        """Data sets on which slow arms are compared with the reference."""
        return list(dict.fromkeys(map(self.compared_on, self.data)))

    @property
    def active(self) -> list[str]:
        """Data sets that are studied or compared on."""
        return list(dict.fromkeys([*self.data, *self.compared]))

    @property
    def own_data(self) -> list[str]:
        return [name for name in self.active if self.sources[name].local_files]

    @property
    def fold_count(self) -> int:
        """Folds per data set: one for the original's single split."""
        return self.folds or 1

    def measured_data(self) -> list[str]:
        """Data sets that workloads read."""
        workloads = self.measure.workloads.values()
        return list(dict.fromkeys(workload.data for workload in workloads if workload.rounds))

    def folds_of(self, name: str) -> dict[str, int]:
        """Data sets that an arm runs on, with the number of their first folds that it computes."""
        arm, most = self.arms[name], self.fold_count
        count = most if arm.run.folds is None else min(arm.run.folds, most)
        names = arm.run.data or (self.compared if arm.run.compared else self.active)
        if arm.baseline in KNOWING:
            names = [data for data in names if self.sources[data].has_truth]
        return {data: count for data in self.active if data in names and count}


def check(section: Section) -> None:
    """Raise ConfigError with one sentence for the first fault of the section."""
    if section.folds == 1:
        raise ConfigError(f"Config: {STUDY}.folds is 1: nobody would train; use 0 or 2.")
    for name in section.data:
        check_member(name, section.sources, f"{STUDY}.data")
    for name, other in section.comparison.items():
        check_member(name, section.sources, f"{STUDY}.comparison: data set")
        check_member(other, section.sources, f"{STUDY}.comparison.{name}")
    for name, source in section.sources.items():
        if isinstance(source, Generated) and source.lengths[0] >= source.lengths[1]:
            raise ConfigError(
                f"Config: {STUDY}.sources.{name}.lengths is {source.lengths}; the first must be "
                "smaller."
            )
    for name, arm in section.arms.items():
        _check_arm(f"{STUDY}.arms.{name}", section, arm)
    for name in section.with_role("result"):
        if list(section.folds_of(name)) != section.active:
            raise ConfigError(
                f"Config: {STUDY}.arms.{name}.run must have all data sets: {name} is the result."
            )
    _check_sizes(section)
    for name, workload in section.measure.workloads.items():
        _check_workload(f"{STUDY}.measure.workloads.{name}", section, workload)


def _check_arm(where: str, section: Section, arm: GpcmArm) -> None:
    if (arm.evaluation is None) == (arm.baseline is None):
        raise ConfigError(f"Config: {where} must have either an evaluation or a baseline.")
    others = arm.model_fields_set - {*Arm.model_fields, "baseline", "run"}
    if arm.baseline and others:
        raise ConfigError(
            f"Config: {where} is a baseline, which takes no other key, as {min(others)}."
        )
    if arm.evaluation:
        _check_network(where, section, arm)
    for name in arm.run.data or ():
        check_member(name, section.sources, f"{where}.run.data")
    if (arm.run.folds or 0) > section.fold_count:
        raise ConfigError(f"Config: {where}.run.folds is {arm.run.folds}, more than folds.")


def _check_network(where: str, section: Section, arm: GpcmArm) -> None:
    """Raise ConfigError for an option that the arm's evaluation or loader does not read."""
    own = {key: getattr(arm, key) for key in COMPUTED}
    own = {key: value for key, value in own.items() if value != GpcmArm.model_fields[key].default}
    check_idle(own, READ[arm.evaluation], where, f"with the evaluation {arm.evaluation}")
    if arm.memory == "triton" and arm.package != "triton":
        raise ConfigError(
            f"Config: {where}.memory is triton, which not every environment has; say so by "
            "package: triton."
        )
    changes = differing(arm.train, section.train)
    if arm.loader != "lists":
        read = changes.keys() - {"workers"}
        check_idle(changes, read, f"{where}.train", f"with the loader {arm.loader}")


def check_interpreter(section: Section) -> None:
    """Raise ConfigError where a kernel for a GPU would run on the CPU without being interpreted."""
    for name, arm in section.arms.items():
        kernels = arm.memory == "triton" and not section.idle(name)
        there = section.device_asked(name) == "cuda"
        if kernels and not there and not interpreted():
            raise ConfigError(
                f"Config: {STUDY}.arms.{name}.memory is triton, whose kernels are for a GPU (device"
                " cuda); with TRITON_INTERPRET=1 in the environment Triton interprets them on this "
                "CPU, slowly."
            )
        if kernels and there and interpreted():
            raise ConfigError(
                f"Config: {STUDY}.arms.{name}.memory is triton and its device cuda, but with "
                "TRITON_INTERPRET=1 in the environment kernels run on the CPU; take it out."
            )


def interpreted() -> bool:
    """Whether Triton is told to interpret kernels, not to compile them."""
    return os.environ.get("TRITON_INTERPRET", "").lower() in ("1", "true", "on", "y", "yes")


def _check_sizes(section: Section) -> None:
    jobs = sum(
        -(-count // (arm.run.block or section.block))
        for name, arm in section.arms.items()
        for count in section.folds_of(name).values()
    )
    check_size(jobs, FILES, "jobs", f"{STUDY}.arms", "ask for fewer folds or use larger blocks")
    files = section.fold_count * max(1, len(section.measured_data()))
    check_size(files, 2 * FILES, "files of folds to measure on", f"{STUDY}.folds", "ask for fewer")


def _check_workload(where: str, section: Section, workload: GpcmWorkload) -> None:
    check_member(workload.data, section.sources, f"{where}.data")
    check_member(workload.where, section.sources, f"{where}.where")
    for name in section.taking_part(workload) if workload.rounds else ():
        contestant = section.contestants.get(name)
        arm = section.arms.get(contestant.arm) if contestant else None
        kind, fault = "evaluation", "trains nothing"
        if isinstance(workload, Classical):
            kind, fault = "baseline", "is no classical model"
        if arm and getattr(arm, kind) is None:
            raise ConfigError(
                f"Config: {where} measures {name}, but the arm {contestant.arm} {fault}."
            )
    check_rounds(where, workload, section.fold_count if isinstance(workload, Folds) else 1)
