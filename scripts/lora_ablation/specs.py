"""What each job of this study is told, and the settings that jobs hold.

Stages import this module and not jobs.py, so that another choice of jobs leaves results alone.
"""

from collections.abc import Iterator
from itertools import groupby
from typing import Annotated, Any, Literal

from pydantic import Field

from scripts.lib.training_job import TrainingJob
from scripts.lib.typed import Betas, Model, Name, Rate, Text, setting

# The columns that name a unit.
AXES = ["stage", "representation", "layers", "share", "run"]
STUDY = "lora_ablation"
# Works whose costs the tables show, and what is counted in their rows.
COUNTERS = {"load": "n_adapters", "features": "n_adapters", "train": "n_steps"}
COUNTERS |= {"products": "n_steps"}
EARLY = "early"  # the stage at which the first steps of training are compared

# all, those of the adapters' family (data/families.py) or of the user, half0, half1, ...
Selection = Name
Network = Literal["unet", "transformer", "text_encoder", "language_model", "other"]
SplitKind = Literal["original", "stratified", "grouped"]
# Functions of scripts/lora_ablation/unit.py, by stage.
Loader = Literal["formatted", "python_lists", "zero_copy"]
Extractor = Literal[
    "loops", "lowrank", "layerwise", "union", "batched", "off_by_one", "svdvals", "weightwatcher"
]  # fmt: skip
Trainer = Literal["reference", "resident", "stacked", "unscaled"]
Precision = Literal["single", "double"]
Alpha = Annotated[float, Field(gt=0)] | None
Count = Annotated[int, Field(ge=1, le=1_000_000)]


class Signal(Model):
    """Strength of the class in generated adapters."""

    attn1: float = setting("Log-sd over classes of attn1 tensors.", ge=0)
    attn2: float = setting("Log-sd over classes of attn2 tensors.", ge=0)
    leaf: float = setting("The same over leaf concepts as a share of the class's.", ge=0)


class Generated(Model):
    """Adapters made by a formula, offline."""

    kind: Literal["generated"] = setting("What the place is.")
    adapters: Count = setting("Adapters to generate.")
    rank: int = setting("Their rank.", ge=1, le=768)
    signal: Signal = setting("Strength of the class.")


class TableColumns(Model):
    """What a table of adapters calls its columns."""

    label: Text = setting("Column of the classes.", default="category_label")
    group: Text | None = setting("Column of the groups (category_name, if there).", default=None)
    name: Text | None = setting("Column of the adapters' names.", default=None)
    rank: int | None = setting("Rank of flat columns.", default=None, ge=1, le=768)
    alpha: Alpha = setting("LoRA alpha of all adapters; the rank, if left out.", default=None)


class SavedDataset(TableColumns):
    """A directory that `datasets` saved."""

    kind: Literal["datasets"] = setting("What the place is.")
    path: Text = setting("The directory.")
    split: str | None = setting("Split, of a data set that has several.", default=None)


class HubDataset(TableColumns):
    """A data set on the Hugging Face hub."""

    kind: Literal["hub"] = setting("What the place is.")
    id: Text = setting("Hub id of a data set.")
    split: str = setting("Split of the data set.")
    adapters: Count = setting("Its number of rows.")


class ParquetFiles(TableColumns):
    """A Parquet file or a directory of them, one weight column per tensor."""

    kind: Literal["parquet"] = setting("What the place is.")
    path: Text = setting("File or directory.")


class AdapterFolder(Model):
    """A directory of safetensors files."""

    kind: Literal["safetensors"] = setting("What the place is.")
    path: Text = setting("The directory.")
    labels: Text = setting("folder, header:<key>, or a CSV with the columns name, label, group.")
    root: Network | None = setting("Network of modules whose names do not tell it.", default=None)


class FlatMatrix(Model):
    """A matrix with one flattened adapter a row."""

    kind: Literal["matrix"] = setting("What the place is.")
    path: Text = setting("File of the matrix.")
    dimensions: Text = setting("JSON or CSV of tensor names and shapes in file order.")
    labels: Text = setting("CSV with the columns name, label, group.")
    root: Network | None = setting("Network of modules whose names do not tell it.", default=None)
    alpha: Alpha = setting("LoRA alpha of all adapters; the rank, if left out.", default=None)


DataSource = Annotated[
    Generated | SavedDataset | HubDataset | ParquetFiles | AdapterFolder | FlatMatrix,
    Field(discriminator="kind"),
]


class Train(Model):
    """Training options shared by all arms."""

    hidden: int = setting(
        "Width of each hidden layer; whole cache lines, so that no run depends on its stack.",
        ge=16, le=100_000, multiple_of=16,
    )  # fmt: skip
    dropout: Rate = setting("Share of hidden values dropped.")
    batch: int = setting("Adapters per step.", ge=2, le=1_000_000)
    lr: float = setting("Adam step size at the start.", gt=0)
    betas: Betas = setting("Adam moment decay rates.")
    adam_eps: float = setting("Adam epsilon.", gt=0)
    weight_decay: float = setting("Coupled weight decay.", ge=0)
    max_epochs: Count = setting("Cap on epochs.")
    patience: Count = setting("Epochs without a higher validation accuracy before stopping.")
    lr_factor: float = setting("Factor of the step size on a plateau.", gt=0, lt=1)
    lr_patience: int = setting("Epochs of a plateau before the step size falls.", ge=0, le=10**6)
    legacy_restore: bool = setting("Evaluate the last weights in place of the best.")
    legacy_noise: bool = setting("Do not mask near-constant columns.")
    legacy_cond: bool = setting("Condition number 1 where the tenth singular value is 0.")
    normalise: Literal["scaler", "guide"] = setting("Standardisation of the trainer `reference`.")
    autocast: bool = setting("Train the trainer `reference` in bfloat16.")
    script: bool = setting("Compile the trainer `reference` by TorchScript.")
    workers: int = setting("DataLoader processes of the trainer `reference`.", ge=0, le=1024)
    precision: Precision = setting("Of the ways `loops` and `reference`: float32 or float64.")


class LoadJob(Model):
    """Adapters start..stop-1 of a data source; `read_from` identifies the files of a user."""

    source: DataSource
    read_from: str
    seed: int
    start: int
    stop: int


class IndexJob(Model):
    """How adapters are split."""

    split: SplitKind


class FamilyJob(Model):
    """One family on one shard: its numbers, per tensor or per down/up pair.

    On a CPU the family's own module computes them, on a GPU that of all.
    """

    family: str
    names: list[str]
    pairs: bool
    device: str = "cpu"

    @property
    def module(self) -> str:
        """The module of scripts/lora_ablation/representations that computes them."""
        return self.family if self.device == "cpu" else "on_device"


class Column(Model):
    """A number of a representation, and its position in its family."""

    family: str
    number: str
    position: int


class FitJob(TrainingJob):
    """Whatever trains classifiers."""

    trainer: Trainer
    train: Train


class TrainJob(FitJob):
    """The runs of some cells of one representation by one arm.

    `selection` replaces the tensors that the units name, `layers` are patterns of the user's own
    selections among them; no `columns`: the weights themselves.
    `early` are the options of units of the stage `early`, which come last.
    """

    columns: list[Column]
    selection: Selection | None
    layers: dict[str, str] = Field(default={})
    early: Train | None = None

    def cells(self) -> Iterator["TrainJob"]:
        """The job of each cell by itself, in their order."""
        for key, units in groupby(self.units, key=lambda unit: unit[:-1]):
            train = self.early if key[0] == EARLY else self.train
            yield self.model_copy(update={"units": list(units), "train": train, "early": None})


class PrepareJob(TrainingJob):
    """Loading and features of generated adapters by one arm; `ranks` by the stage of a unit."""

    load: Loader | None
    features: Extractor | None
    precision: Precision
    source: Generated
    ranks: dict[str, int]


class NestedJob(Model):
    """Generated adapters in the authors' layout."""

    seed: int
    source: Generated


class TablesJob(Model):
    """The result arm's runs, in their order: `expected` has the axes but the stage of each."""

    arm: str
    expected: list[list[Any]]
    seed: int
    confidence: float
    draws: int


class CostsJob(Model):
    """Whom the tables of cost show, and the amount of work of the original and of larger data.

    `stages`: the workload that measures each; `ranks`: rank of each workload of singular values;
    `repairs`: arms and the repair that each undoes.
    """

    arm: str
    stages: dict[str, str]
    ranks: dict[str, int]
    contestants: list[str]
    adapters: list[int]
    batch: int
    runs: int
    cells: int
    passes: float
    repairs: list[list[str]]


class LoadWork(TrainingJob):
    """Measured: tensors of adapters from nested lists. A unit is [work, first, stop]."""

    work: Literal["load"]
    load: Loader


class FeaturesWork(TrainingJob):
    """Measured: all hand-crafted representations. A unit is [work, first, stop]."""

    work: Literal["features"]
    features: Extractor
    source: Generated


class MatricesWork(TrainingJob):
    """Measured: singular values or Fourier transforms of matrices. A unit is [work, round]."""

    work: Literal["svd", "fft"]
    features: Extractor
    rank: int
    matrices: int


class FitWork(FitJob):
    """Measured: standardisation or training of cells, or its matrix products alone.

    `columns` by representation.
    """

    work: Literal["scaler", "train", "products"]
    columns: dict[str, list[Column]]
    selection: Selection | None
    layers: dict[str, str] = Field(default={})


class TotalWork(FitJob):
    """Measured: load, features and training of one representation, all and visual."""

    work: Literal["total"]
    load: Loader
    features: Extractor
    adapters: int


Measured = Annotated[
    LoadWork | FeaturesWork | MatricesWork | FitWork | TotalWork, Field(discriminator="work")
]
