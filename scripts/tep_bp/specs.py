"""What each job is told, and what the rows of the study hold: axes, phases and metrics.

Apart from jobs.py, which makes the specifications: training reads these types, and should not train
again at every edit of a plan.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import Field

from scripts.lib.training_job import TrainingJob
from scripts.lib.typed import Model
from scripts.tep_bp.data.store import TaskSettings
from scripts.tep_bp.options import (
    Band,
    Classifiers,
    Faults,
    Gate,
    Gradient,
    Mistake,
    Solver,
    Training,
)
from scripts.tep_bp.plans.space import Space

STUDY = "tep_bp"
AXES = ["stage", "rule", "trial"]  # name a unit, a trial
PHASES = ["data", "free", "nudged", "update", "evaluate", "compile"]
# number, share (within 0 and 1): may be averaged; list: compared entry by entry; label: what the
# unit is, no result of it.
METRICS = (
    dict.fromkeys(
        [
            *("val_loss", "diverged_epoch"),
            *("residual_free", "residual_free_max", "residual_nudged", "nudged_bound"),
            *("spectral_norm", "gradient_cosine", "n_parameters", "n_steps", "flops"),
            *("n_iterations", "free_iterations", "nudged_iterations"),
        ],
        "number",
    )
    | dict.fromkeys(["val_accuracy", "peak_accuracy", "late_accuracy", "test_accuracy"], "share")
    | dict.fromkeys(["curve", "early_losses", "late_hits", "hits"], "list")
    | dict.fromkeys(
        [
            *("hidden", "batch", "lr", "weight_decay", "activation", "beta", "solver", "epochs"),
            *("parameter_hash", "chosen", "rank", "repeat"),
        ],
        "label",
    )
)
NO_SOLVER, GATED = "none", "gated"
Part = Literal["train", "val", "test"]


class LoadJob(Model):
    """A task to read and to split."""

    task: TaskSettings
    split_seed: int


class Sample(Model):
    """Trials start to end - 1 of the sampled space."""

    way: Literal["sample"]
    space: Space
    sampler: str
    start: int
    end: int
    seed: int


class Ask(Model):
    """The n trials of a round, knowing those of all rounds before it."""

    way: Literal["ask"]
    space: Space
    rule: str
    round: int
    n: int
    seed: int


class Promote(Model):
    """The best trials of the rung before."""

    way: Literal["promote"]
    keep: int


class Repeat(Model):
    """The best trials of a rule by the shrunken score, with new seeds."""

    way: Literal["repeat"]
    space: Space
    rule: str
    top: int
    seeds: int
    seed: int


class ProposeJob(Model):
    """How a plan is made."""

    plan: Annotated[Sample | Ask | Promote | Repeat, Field(discriminator="way")]


class PlanRows(Model):
    """Rows of a plan: of those at most `widest` wide, `count` from `start` on."""

    plan: str
    start: int
    count: int
    widest: int | None


class TrialsJob(TrainingJob):
    """What an arm does with trials of a rule, without saying which.

    `solver` is a name of `solvers`, "none", or "gated"; `parts`: whose samples train; `held`: whose
    score. `max_stack_elements` changes no number.
    """

    rule: str
    implementation: str
    train: Training
    solver: str
    solvers: dict[str, Solver]
    faults: Faults | None
    mistake: Mistake | None
    parts: list[Part]
    held: Part
    max_stack_elements: int

    def solved_by(self, name: str) -> Self:
        """The job with the solver of this name, and no other."""
        solvers = {name: self.solvers[name]} if name in self.solvers else {}
        return self.model_copy(update={"solver": name, "solvers": solvers})

    @property
    def iterations(self) -> Solver | None:
        """Those of the job's solver; None for a rule or arm without one."""
        return self.solvers.get(self.solver)


class TrainJob(TrialsJob):
    """Trains some trials of a plan, of one stage of the study."""

    stage: str
    rows: PlanRows

    def of_units(self) -> Self:
        """What decides the row of a trial, whatever other trials the job has."""
        rows = PlanRows(plan="", start=0, count=0, widest=None)
        return self.model_copy(update={"rows": rows, "max_stack_elements": 1})


class MeasuredJob(TrialsJob):
    """Units [hidden, batch, round, number] of a measured workload."""

    work: Literal["trials", "loading"]
    task: str
    space: Space
    trials: int


class Compared(Model):
    """Two arms with one rounding of the initial weights, and how networks like theirs train."""

    exact: str
    economy: str
    train: Training


class GateJob(Model):
    """Whose runs the gate compares, and what they have to show."""

    gate: Gate
    plain: Solver
    economy: Solver
    compared: list[Compared]


class GradientJob(Model):
    """The network on which the gradient's error is shown, and the nudges."""

    gradient: Gradient
    train: Training
    solver: Solver
    seed: int


class ClassifiersJob(Model):
    """Classifiers to score on a task."""

    classifiers: Classifiers
    seed: int


class TablesJob(Model):
    """Whom the tables are about: the result arm at its stage, and the arms of the original.

    `proof`: arms that say nothing of time or fixed points, truth and controls.
    """

    arm: str
    rules: list[str]
    original: list[str]
    proof: list[str]
    stage: str
    trials: int
    repeats: int
    rerounded: int
    margin: float
    top: int
    space: Space
    seed: int
    band: Band


class ExportJob(Model):
    """Whose trials an Optuna storage has."""

    arm: str
    rules: list[str]
    stage: str
    space: Space


Row = dict[str, Any]  # of a table
