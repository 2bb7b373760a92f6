"""What each job of this study is told, and the columns that name its units."""

from typing import Literal

from scripts.deep_gpcm.options import (
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
from scripts.lib.training_job import TrainingJob
from scripts.lib.typed import Model

AXES = ["data", "fold"]
STUDY = "deep_gpcm"


class FetchJob(Model):
    """Which table of the pinned package is fetched."""

    table: str


class LoadJob(Model):
    """What is read; `seed` is what a generated one is drawn by."""

    source: DataSource
    seed: int


class FoldsJob(Model):
    """How the students of a data set are split."""

    data: str
    folds: int
    validation: float
    seed: int


class GpcmJob(TrainingJob):
    """How one arm trains a network on some folds."""

    evaluation: Evaluation
    memory: Memory
    heads: Heads
    inference: Heads
    loader: Loader
    step: Step
    trainer: Trainer
    model: NetworkSettings
    train: Training

    def implementations(self) -> list[str]:
        """Functions that the job may call of those that arms choose from."""
        called = [self.evaluation, f"{self.loader}_loader", f"{self.step}_step"]
        called.append(f"{self.trainer}_trainer")
        if self.evaluation != "stepwise":
            called.append(f"{self.memory}_memory")
        if self.evaluation == "tables":
            called += [f"{self.heads}_heads", f"{self.inference}_heads"]
        return called


class MeasuredJob(GpcmJob):
    """An arm's job in a workload; its units are [data, fold, number].

    `number` is the epochs of a whole fold, or else the round, which says which students take part.
    """

    work: str
    steps: int


class BaselineJob(TrainingJob):
    """Folds that a simple or classical model predicts."""

    baseline: Baseline


class MeasuredBaseline(BaselineJob):
    """The same in a workload; units as those of `MeasuredJob`."""

    work: Literal["classical"]


class TablesJob(Model):
    """Arms by what the tables say of them, and data sets in their order."""

    reference: str
    result: str
    classical: str
    ceiling: str
    shares: str
    knowing: list[str]
    data: list[str]


class MeasuredStep(Model):
    """A workload of single steps, and its contestants in their order."""

    workload: str
    contestants: list[str]


class LadderJob(Model):
    """What the ladder of implementations is about; `again` gives the noise floor."""

    baseline: str
    again: str
    steps: list[MeasuredStep]
