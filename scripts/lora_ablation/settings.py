"""The section `lora_ablation` of the configuration: what may stand in it."""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from scripts.lib.config import read_settings
from scripts.lib.overlays import Limit, at
from scripts.lib.sections import Arm, StudySettings
from scripts.lib.typed import Model, Name, Text, Unique, changes_of, setting, text_like
from scripts.lib.workloads import Measure, Workload
from scripts.lora_ablation.checks import WEIGHTS, check
from scripts.lora_ablation.specs import (
    EARLY,
    STUDY,
    Count,
    DataSource,
    Extractor,
    Loader,
    Selection,
    SplitKind,
    Train,
    Trainer,
)

FULL = 100  # per cent of the training rows
PROOF = ("truth", "control")  # roles whose answers are only compared
EARLY_METRIC = "early_losses"
Representations = Annotated[Unique[str], Field(min_length=1)]
Selections = Annotated[Unique[Selection], Field(min_length=1)]
Rank = Annotated[int, Field(ge=1, le=768)]
Measured = Annotated[int, Field(ge=2, le=10_000)]  # adapters
Where = text_like("^(|load|early|train|features_r[0-9]+)$", "load, early, train, features_r1, ...")
CellLabels = tuple[str, str, int]  # representation, selection, share


TrainChanges = changes_of(Train)


class Limits(Model):
    """Cells that an arm trains."""

    renamed: ClassVar = {"layers": "selections"}
    representations: Representations | None = setting("Only these.", default=None)
    selections: Selections | None = setting("Only these.", default=None)
    runs: int | None = setting(
        "Only the first runs; 0 switches the arm off.", default=None, ge=0, le=100_000
    )


class LoraArm(Arm):
    """An implementation of a stage or of several."""

    renamed: ClassVar = {"layers": "selection"}
    load: Loader | None = setting("Way of loading.", default=None)
    features: Extractor | None = setting("Way of computing features.", default=None)
    represents: Representations | None = setting(
        "Hand-crafted representations that it computes; all, if left out.", default=None
    )
    trainer: Trainer | None = setting("Which trainer.", default=None)
    selection: Selection | None = setting("Selection that replaces the cell's.", default=None)
    train: TrainChanges = setting("Over those of `train`.", default=TrainChanges())
    repair: Text | None = setting("The repair of the original that it undoes.", default=None)
    run: Limits = setting("Cells that it trains; all, if left out.", default=Limits())


class Curves(Model):
    """Learning curves of the result arm, all tensors."""

    representations: Unique[str] = setting("Representations.")
    shares: Unique[Annotated[int, Field(ge=1, le=99)]] = setting("Percent of the training rows.")


class Early(Model):
    """The first epoch of training at a small size, where rounding has not been amplified."""

    representations: Representations = setting("Cells, all tensors.")
    share: int = setting("Percent of the training rows.", ge=1, le=100)
    hidden: int = setting("Width of each hidden layer.", ge=16, le=100_000, multiple_of=16)
    batch: int = setting("Adapters per step.", ge=2, le=1_000_000)
    runs: int = setting("Initialisation seeds per cell.", ge=1, le=100_000)


class Prepare(Model):
    """Generated adapters on which loading and features of the arms are compared."""

    arms: Unique[Name] | None = setting(
        "Arms to compare; all that load or compute features, if left out.", default=None
    )
    adapters: int = setting("Adapters.", ge=1, le=1000)
    ranks: Annotated[Unique[Rank], Field(min_length=1)] = setting("Ranks of the features.")


class LoraWorkload(Workload):
    """A kind of work; `where` is a stage."""

    # The stage whose choice an arm needs to take part, and the choices that can, where not all can.
    stage: ClassVar[str] = "trainer"
    ways: ClassVar[tuple[str, ...]] = ()
    where: Where = setting("Stage whose agreement counts; all, if empty.", default="")

    def units(self) -> int:
        """Units of a round."""
        return 2


class LoadWorkload(LoraWorkload):
    """Tensors of adapters from nested lists."""

    stage: ClassVar = "load"
    work: Literal["load"] = setting("What is timed.")
    adapters: int = setting("Adapters per round.", ge=1, le=10_000)


class FeaturesWorkload(LoraWorkload):
    """All hand-crafted representations, all and visual."""

    stage: ClassVar = "features"
    work: Literal["features"] = setting("What is timed.")
    adapters: Measured = setting("Adapters per round.")


class MatrixWorkload(LoraWorkload):
    """Matrices of one rank."""

    stage: ClassVar = "features"
    rank: Rank = setting("Rank of the matrices.")
    matrices: int = setting("Matrices per round.", ge=1, le=10_000)


class SvdWorkload(MatrixWorkload):
    """Singular values."""

    ways: ClassVar = ("loops", "lowrank", "union", "svdvals", "weightwatcher")
    work: Literal["svd"] = setting("What is timed.")


class FftWorkload(MatrixWorkload):
    """Fourier transforms."""

    ways: ClassVar = ("loops", "union")
    work: Literal["fft"] = setting("What is timed.")


class FitWorkload(LoraWorkload):
    """Standardisation (scaler), training of cells, or its matrix products; all tensors."""

    work: Literal["scaler", "train", "products"] = setting("What is timed.")
    representations: Representations = setting("Cells, all tensors.")
    max_epochs: Count | None = setting("Cap on epochs, if another.", default=None)

    def units(self) -> int:
        return len(self.representations)


class TotalWorkload(FitWorkload):
    """Load, features and training, all and visual."""

    work: Literal["total"] = setting("What is timed.")
    adapters: Measured = setting("Adapters per round.")


class LoraMeasure(Measure):
    """What is timed."""

    workloads: dict[
        Name,
        Annotated[
            LoadWorkload | FeaturesWorkload | SvdWorkload | FftWorkload | FitWorkload
            | TotalWorkload,
            Field(discriminator="work"),
        ],
    ] = setting("What is computed, by name.", min_length=1)  # fmt: skip


def trained(section: dict[str, Any]) -> list[str]:
    """Representations that workloads can train on: all but the weights, which have no features."""
    return [name for name in section["representations"] if name != WEIGHTS]


def on_own_data(section: dict[str, Any]) -> list[str] | None:
    """Work that is measured on adapters of the user's own; None where they are generated."""
    generated = section["sources"][section["source"]]["kind"] == "generated"
    return None if generated else ["scaler", "train", "products"]


STUDIED = at("representations")
OFF = {"rounds": 0}
LIMITS = (
    Limit("arms.*.run.representations", STUDIED),
    Limit("arms.*.run.selections", at("selections")),
    Limit("arms.*.run.runs", at("runs")),
    Limit("early.representations", STUDIED),
    Limit("curves.representations", STUDIED),
    Limit("measure.workloads.*.work", on_own_data, OFF),
    Limit("measure.workloads.*.representations", lambda s: None if trained(s) else [], OFF),
    Limit("measure.workloads.*.representations", trained),
    Limit(
        "measure.workloads.*.where",
        lambda s: ["", "load", EARLY, "train", *(f"features_r{n}" for n in s["prepare"]["ranks"])],
        OFF,
    ),
)


class Section(StudySettings):
    """The section of the study."""

    limits: ClassVar = StudySettings.limits + LIMITS

    source: Text = setting("Which of `sources` the adapters come from.")
    sources: dict[Name, DataSource] = setting("Data sources, by name.", min_length=1)
    shard: int = setting("Adapters per shard.", ge=1, le=10_000)
    keep_tensors: bool = setting("Keep the tensor store once the features are made.")
    split: SplitKind = setting("How adapters are split.")
    representations: Representations = setting("Representations.")
    selections: Selections | None = setting(
        "Selections of tensors; those that are usual for the adapters, if left out.", default=None
    )
    layers: dict[Name, Text] = setting(
        "Selections of one's own: patterns searched in the names of modules.", default={}
    )
    runs: int = setting("Initialisation seeds per cell.", ge=1, le=100_000)
    block: Count = setting("Cells of one representation per job.")
    curves: Curves = setting("Learning curves of the result arm, all tensors.")
    train: Train = setting("Training options shared by all arms.")
    arms: dict[Name, LoraArm] = setting("Implementations, by name.", min_length=1)
    early: Early = setting("Stage `early`, where the first steps of training are compared.")
    prepare: Prepare = setting("Generated adapters on which loading and features are compared.")
    measure: LoraMeasure = setting("What is timed.")

    @property
    def adapters_from(self) -> DataSource:
        """The data source of this run."""
        return self.sources[self.source]

    @property
    def own_data(self) -> list[str]:
        return [] if self.adapters_from.kind == "generated" else [self.source]

    @property
    def stages(self) -> dict[str, int]:
        """Stages at which features are compared, with the rank of each."""
        return {f"features_r{rank}": rank for rank in self.prepare.ranks}

    @property
    def prepared(self) -> list[str]:
        """Arms whose loading and features are compared."""
        named = self.prepare.arms
        able = [name for name, arm in self.arms.items() if arm.load or arm.features]
        return able if named is None else [name for name in named if name in self.arms]

    def train_of(self, arm: str, **changes: Any) -> Train:
        """Training options of an arm."""
        at = f"{STUDY}.arms.{arm}.train"
        own = self.arms[arm].train.model_dump(exclude_none=True)
        return read_settings(Train, self.train.model_dump() | own | changes, at)

    def cells(self, arm: str) -> list[CellLabels]:
        """Every cell of an arm, limited as its `run` says; truth and controls have early ones."""
        options, curves = self.arms[arm], self.curves
        if options.trainer is None or options.run.runs == 0 or options.role in PROOF:
            return []
        grid = [
            (representation, selection, FULL)
            for representation in options.run.representations or self.representations
            for selection in options.run.selections or self.selections or ["all"]
        ]
        if arm == self.result:
            grid += [(name, "all", s) for name in curves.representations for s in curves.shares]
        return grid

    def early_of(self, arm: str) -> Train | None:
        """Training options of an arm at the stage `early`; None if it takes no part.

        Those take part whose claim is about it, the reference and the truth.
        """
        options, early = self.arms[arm], self.early
        claims = options.claim is not None and EARLY_METRIC in options.claim.accurate
        if options.trainer is None or options.run.runs == 0:
            return None
        if not claims and options.role not in ("reference", "truth"):
            return None
        return self.train_of(arm, hidden=early.hidden, batch=early.batch, max_epochs=1)

    def runs_of(self, arm: str) -> int:
        """Runs of each cell of an arm."""
        runs = self.arms[arm].run.runs
        return self.runs if runs is None else runs

    @model_validator(mode="before")
    @classmethod
    def _layers_are_patterns(cls, value: Any) -> Any:
        """Once `layers` was the list of selections."""
        if isinstance(value, dict) and isinstance(value.get("layers"), list):
            raise PydanticCustomError(
                "renamed", "another name", {"key": "layers", "now": "selections"}
            )
        return value

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        check(self)
        return self
