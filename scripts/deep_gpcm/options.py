"""What jobs are told of the network, its training and the data: keys with meaning and bounds."""

from typing import Annotated, Literal

from pydantic import Field

from scripts.lib.typed import Betas, Model, Text, setting

Evaluation = Literal["stepwise", "hoisted", "tables"]
Memory = Literal["loop", "function", "fused", "triton", "no_erase", "first_memory"]
Heads = Literal["eager", "compiled", "int8"]
Loader = Literal["lists", "resident"]
Step = Literal["module", "fused"]
Trainer = Literal["alone", "stacked"]
Baseline = Literal["majority", "item_marginal", "gpcm", "girth", "irtorch", "bayes", "oracle"]
Embedding = Literal["ordered", "unordered", "linear_decay", "adjacent_weighted"]
Table = Literal["mathematics_1", "mathematics_2"]

Base = Annotated[int, Field(ge=-1000, le=1000)]
BASE = "Response of the lowest category; if left out, 0, or 1 where no 0 occurs."
Width = Annotated[int, Field(ge=1, le=10_000)]
KNOWING = ("bayes", "oracle")  # baselines that use the true parameters


class NetworkSettings(Model):
    """Sizes and variants of the network."""

    memory_size: Width = setting("Slots of the memory.")
    key_dim: Width = setting("Width of question keys.")
    value_dim: Width = setting("Width of the memory's slots.")
    summary_dim: Width = setting("Width of the summary from which the ability is read.")
    embedding: Embedding = setting("How a response enters its question's value.")
    ability_scale: float = setting("Factor of the ability.", gt=0)
    head: Literal["original", "monotone"] = setting(
        "Thresholds within (-1, 1), in any order; or increasing, without bounds."
    )


class Training(Model):
    """Training options shared by all arms."""

    batch: int = setting("Students per step.", ge=1, le=10**6)
    epochs: int = setting("Passes over the training students.", ge=1, le=100_000)
    lr: float = setting("Adam step size at the start.", gt=0)
    betas: Betas = setting("Adam moment decay rates.")
    adam_eps: float = setting("Adam epsilon.", gt=0)
    weight_decay: float = setting("Weight decay.", ge=0)
    optimizer: Literal["adam", "adamw"] = setting("Weight decay coupled or decoupled.")
    clip: float = setting("Largest norm of the gradient.", gt=0)
    schedule: Literal["plateau", "cosine_restarts"] = setting("Step size from epoch to epoch.")
    lr_factor: float = setting("Factor of the step size on a plateau.", gt=0, lt=1)
    lr_patience: int = setting("Epochs of a plateau before the step size falls.", ge=0, le=10**6)
    restart: int = setting("Epochs between restarts of the cosine.", ge=1, le=10**6)
    keep: Literal["best", "last"] = setting(
        "Which weights are evaluated: those of the best validation QWK, or the last."
    )
    accumulate: int = setting("Parts of a batch whose gradients are summed.", ge=1, le=10**6)
    buckets: bool = setting("Batches of students with logs of like length.")
    autocast: bool = setting("Train in bfloat16.")
    precision: Literal["single", "double"] = setting("Everything in float32 or in float64.")
    workers: int = setting("DataLoader processes of the loader `lists`.", ge=0, le=1024)
    protocol: Literal["clean", "original"] = setting(
        "Who chooses epochs and step sizes: held-out training students, or the test students."
    )
    loss: Literal["ce", "double_softmax"] = setting(
        "Cross-entropy, or that of probabilities taken for logits."
    )
    padding: Literal["none", "masked", "counted"] = setting(
        "Padding of batches: not computed; computed, not scored; computed and scored."
    )
    zero_id: bool = setting("The first question shares its id with padding.")


class Windowed(Model):
    """What data sources of every kind may say."""

    window: int | None = setting(
        "Longer logs are cut into windows of so many answers, each traced anew.",
        default=None, ge=2, le=32_768,
    )  # fmt: skip

    @property
    def local_files(self) -> list[str]:
        """Files of the user that the answers are read from."""
        return []

    @property
    def has_truth(self) -> bool:
        """Whether true parameters come with the answers."""
        return False


class Generated(Windowed):
    """Answers that are drawn from a GPCM with static abilities."""

    kind: Literal["generated"] = setting("What the place is.")
    students: int = setting("Students to generate.", ge=4, le=10**6)
    questions: int = setting("Questions to generate.", ge=1, le=100_000)
    categories: int = setting("Response categories.", ge=2, le=100)
    lengths: Annotated[
        list[Annotated[int, Field(ge=1, le=100_000)]], Field(min_length=2, max_length=2)
    ] = setting("Shortest log, and the length that all logs stay below.")

    @property
    def has_truth(self) -> bool:
        return True


class ThreeLines(Windowed):
    """Text files of three lines a student."""

    kind: Literal["three_lines"] = setting("What the place is.")
    files: Annotated[list[Text], Field(min_length=1)] = setting("Text files.")
    format: Literal["OC", "PC"] = setting("Responses as categories, or as shares of full credit.")
    questions: int = setting("Questions in the files.", ge=1, le=100_000)
    categories: int = setting("Response categories.", ge=2, le=100)
    id_base: Literal[0, 1] = setting("Id of the first question in the files.")
    response_base: Base | None = setting(BASE, default=None)
    truth: Text | None = setting("JSON file of true parameters.", default=None)

    @property
    def local_files(self) -> list[str]:
        return [*self.files, *([self.truth] if self.truth else [])]

    @property
    def has_truth(self) -> bool:
        return self.truth is not None


class LongTable(Windowed):
    """A CSV or Parquet file with a row per answer."""

    kind: Literal["table"] = setting("What the place is.")
    path: Text = setting("CSV or Parquet file.")
    student: str = setting("Column of students.", default="student")
    time: str = setting(
        "Column that orders a student's answers; `none`: the order of the rows does.",
        default="time",
    )
    ties: Literal["refuse", "file_order"] = setting(
        "Several answers of a student at one time: refused, or in the order of the rows.",
        default="refuse",
    )
    item: str = setting("Column of items.", default="item")
    response: str = setting("Column of responses, whole numbers.", default="response")
    response_base: Base | None = setting(BASE, default=None)
    missing: Literal["refuse", "text"] = setting(
        "Names of students and items such as NA or nan: refused as missing, or names like others.",
        default="refuse",
    )
    categories: int | None = setting(
        "Response categories of all items; else each item has those seen.",
        default=None, ge=2, le=100,
    )  # fmt: skip

    @property
    def local_files(self) -> list[str]:
        return [self.path]


class Irtorch(Windowed):
    """A table of graded answers that a pinned package ships."""

    kind: Literal["irtorch"] = setting("What the place is.")
    table: Table = setting("Table of the package irtorch.")


DataSource = Annotated[Generated | ThreeLines | LongTable | Irtorch, Field(discriminator="kind")]
