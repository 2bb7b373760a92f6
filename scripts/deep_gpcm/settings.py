"""What config/deep_gpcm.yaml may hold: keys with meaning and bounds."""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from scripts.deep_gpcm.options import (
    KNOWING,
    Baseline,
    DataSource,
    Evaluation,
    Heads,
    Loader,
    Memory,
    NetworkSettings,
    Step,
    Trainer,
    Training,
)
from scripts.lib.overlays import Limit
from scripts.lib.sections import Arm, StudySettings
from scripts.lib.typed import DataName, Model, Name, Unique, changes_of, setting
from scripts.lib.workloads import Measure, Workload

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
    trainer: Trainer = setting(
        "Folds of a job one after the other, or side by side.", default="alone"
    )
    model: NetworkChanges = setting("Over those of `model`.", default=NetworkChanges())
    train: TrainingChanges = setting("Over those of `train`.", default=TrainingChanges())
    baseline: Baseline | None = setting("A model in place of the network.", default=None)
    run: Limits = setting("Folds that it computes; all, if left out.", default=Limits())


class GpcmWorkload(Workload):
    """What is timed, and on what."""

    data: DataName | None = setting("Data set on which; the first of `data`.", default=None)
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
    data: DataName | None = setting(
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
    block: int = setting(
        "Folds per job; changes no number, of a stack only its rounding.", ge=1, le=10**6
    )
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
