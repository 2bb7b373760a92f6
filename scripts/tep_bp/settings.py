"""What the configuration of the study sets: tasks, search, training, arms, what is measured.

Checks of what must go together are in checks.py, at whose edits no trial should train again.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from scripts.lib.sections import Arm, Measure, StudySettings, Workload
from scripts.lib.typed import Model, Name, Rising, Text, Unique, setting, text_like
from scripts.tep_bp.data.store import TaskSettings
from scripts.tep_bp.plans.space import Activation, Space

Rule = Literal["tep", "bp", "rbp"]
Difference = Literal["centred", "one_sided"]
Rate = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
Epochs = Annotated[int, Field(ge=1, le=100_000)]
Iterations = Annotated[int, Field(ge=1, le=100_000)]
Trials = Annotated[int, Field(ge=0, le=2**20)]
Block = Annotated[int, Field(ge=1, le=10**6)]
Interval = Annotated[Rising, Field(min_length=2, max_length=2)]
TaskName = text_like("^[A-Za-z0-9_]+$", "letters, digits and _")


class Halving(Model):
    """Rungs of the mode halving."""

    epochs: Annotated[list[Epochs], Field(min_length=1)] = setting("Epochs of each rung.")
    eta: int = setting("One of so many trials is promoted.", ge=2, le=1_000)


class Search(Model):
    """How many trials, and how they are chosen."""

    rules: Annotated[Unique[Rule], Field(min_length=1)] = setting("Learning rules.")
    trials: int = setting("Trials of every rule.", ge=1, le=2**20)
    sampler: Literal["sobol", "random"] = setting("Scrambled Sobol points, or random ones.")
    mode: Literal["plan", "halving", "rounds"] = setting(
        "All trials of a plan, successive halving, or rounds of Optuna's TPE."
    )
    block: Block = setting("Trials per job, and per round.")
    halving: Halving = setting("Rungs of the mode halving.")


class Repeats(Model):
    """The best trials again with new seeds, scored on the test samples."""

    top: int = setting("Best trials of each rule; 0 for none.", ge=0, le=100_000)
    seeds: int = setting("New seeds of each.", ge=1, le=10_000)
    block: Block = setting("Trainings per job.")


class Train(Model):
    """Training options shared by all arms."""

    epochs: Epochs = setting("Passes over the training samples.")
    betas: Annotated[list[Rate], Field(min_length=2, max_length=2)] = setting(
        "Adam moment decay rates."
    )
    adam_eps: float = setting("Adam epsilon.", gt=0)
    spectral_cap: float = setting("Largest spectral norm of the recurrent weights.", gt=0, lt=1)
    power_steps: int = setting("Power iterations per step that watch the norm.", ge=1, le=1_000)
    difference: Difference = setting(
        "Nudged both ways, or one way less the free state (reference only)."
    )
    workers: int = setting("DataLoader processes of the reference.", ge=0, le=1_024)
    persistent: bool = setting("Keep them from epoch to epoch.")
    proposal: Literal["none", "compiled", "bfloat16", "warm_start"] = setting(
        "The original's for the free phase of tep (reference only)."
    )


class Training(Train):
    """Options of one training; `watch`: score after every epoch, or only after the last."""

    watch: bool = True


class Options(Model):
    """What an arm trains otherwise than `train` says."""

    epochs: Epochs | None = setting("Instead of train.epochs.", default=None)
    difference: Difference | None = setting("Instead of train.difference.", default=None)
    workers: int | None = setting("Instead of train.workers.", default=None, ge=0, le=1_024)
    persistent: bool | None = setting("Instead of train.persistent.", default=None)
    proposal: Literal["none", "compiled", "bfloat16", "warm_start"] | None = setting(
        "Instead of train.proposal.", default=None
    )


class Solver(Model):
    """Iterations towards the fixed points: h' = h + omega (f(h) - h) + mu (h - previous h)."""

    omega: float = setting("Relaxation.", gt=0, lt=2)
    mu: float = setting("Momentum.", ge=0, lt=1)
    free: Iterations = setting("Iterations of the free phase.")
    nudged: Iterations = setting("Iterations of each nudged phase.")
    tol: Positive | None = setting(
        "The free phase stops at this largest change (reference only).", default=None
    )


class Solvers(Model):
    """Solvers by name."""

    plain: Solver = setting("What the original does, and the exact answer of the gate.")
    economy: Solver = setting("Fewer iterations, if the gate lets them.")
    adaptive: Solver = setting("Stops by itself.")


class Faults(Model):
    """The original's block and rule."""

    difference: Difference = setting("Nudged both ways or one way.")
    nudge: Literal["batch_mean", "per_sample"] = setting(
        "Nudge divided by the batch size, or each sample's own."
    )
    stop: Literal["early", "never"] = setting(
        "Stop at the tolerance, or never before the last iteration."
    )
    free_steps: Iterations = setting("Most iterations of the free phase.")
    nudged_steps: Iterations = setting("Most iterations of each nudged phase.")
    damping: float = setting("Share of the new state in each iteration.", gt=0, le=1)
    tol: float = setting("Largest change at which an iteration stops.", ge=0)


class Gate(Model):
    """When the economy solver stands in for the plain one."""

    exact: Name = setting("Arm with the plain solver.")
    economy: Name = setting("Arm with the economy solver.")
    margin: float = setting("Largest mean change of the validation accuracy.", ge=0)
    overlap: int = setting("Least number of the best ten trials that agree.", ge=0, le=10)
    cosine: float = setting("Least median cosine of the two solvers' gradients.", le=1)
    networks: int = setting("Trained networks whose gradients are compared.", ge=1, le=1_000)
    epochs: Epochs = setting("Epochs of their training.")
    beta: Positive = setting("Largest beta of these networks.")


class Run(Model):
    """Trials that an arm trains: the first of the first block; the result takes no keys."""

    rules: Annotated[Unique[Rule], Field(min_length=1)] | None = setting(
        "Only these rules.", default=None
    )
    trials: Trials | None = setting("The first trials; 0 switches the arm off.", default=None)
    widest: int | None = setting("Only trials at most so wide.", default=None, ge=8, le=100_000)
    block: Block | None = setting("Trials per job (default search.block).", default=None)


class TepArm(Arm):
    """An implementation of the learning rules, with what it is told."""

    implementation: Literal["reference", "stacked", "fused", "legacy"] = setting(
        "How trials are trained: a function of scripts/tep_bp/unit.py."
    )
    solver: str | None = setting(
        "One of `solvers`, or `gated`: economy if it passes its gate, else plain.", default=None
    )
    train: Options = setting("Options of this arm, over those of `train`.", default=Options())
    faults: Faults | None = setting("The original's block and rule.", default=None)
    run: Run = setting("Trials that it trains.", default=Run())


class Gradient(Model):
    """The network on which the error of the learning rule is shown."""

    hidden: int = setting("Width.", ge=8, le=100_000, multiple_of=8)
    batch: int = setting("Samples per step.", ge=1, le=10**6)
    lr: Positive = setting("Adam step size.")
    activation: Activation = setting("Activation.")
    beta: Positive = setting("Strength of the nudge in its training.")
    epochs: Epochs = setting("Epochs of its training.")
    steps: Iterations = setting("Iterations of every solve.")
    betas: Annotated[Unique[Positive], Field(min_length=1)] = setting("Strengths of the nudge.")


class Band(Model):
    """Expected results, lowest and highest; null where nothing is known."""

    best: Interval | None = setting("Best validation accuracy of each rule.", default=None)
    median: Interval | None = setting("Median validation accuracy of each rule.", default=None)
    test: Interval | None = setting("Test accuracy of each rule's chosen trial.", default=None)
    difference: Interval | None = setting("Its difference between tep and bp.", default=None)


class TepWorkload(Workload):
    """What each contestant does in a round."""

    work: Literal["trials", "loading"] = setting("What is timed (scripts/tep_bp/measured.py).")
    task: Text | None = setting("Another task than the search's.", default=None)
    rule: Rule = setting("Learning rule.")
    where: Rule = setting("Rule whose agreement counts.")
    epochs: Epochs = setting("Epochs of each training.")
    trials: int = setting("Trials of each width and batch size.", ge=1, le=2**20)
    strata: int | None = setting(
        "Only so many combinations of width and batch (default all).", default=None, ge=1, le=10_000
    )


class TepMeasure(Measure):
    """What is timed."""

    workloads: dict[Name, TepWorkload] = setting("What is computed, by name.", min_length=1)


class Section(StudySettings):
    """config/tep_bp.yaml, the section `tep_bp`."""

    task: str = setting("Name of the task to search on.")
    tasks: dict[TaskName, TaskSettings] = setting("Classification tasks by name.", min_length=1)
    split_seed: int = setting("Seed of the stratified split.", ge=0, le=2**32 - 1)
    space: Space = setting("What may be chosen for each hyperparameter.")
    search: Search = setting("How many trials, and how they are chosen.")
    repeats: Repeats = setting("The best trials again with new seeds.")
    train: Train = setting("Training options shared by all arms.")
    solvers: Solvers = setting("Iterations towards the fixed points, by name.")
    max_stack_elements: int = setting(
        "Largest states of a stack (trials x batch x hidden); changes no number.", ge=1, le=10**9
    )
    gate: Gate = setting("When the economy solver stands in for the plain one.")
    arms: dict[Name, TepArm] = setting("Implementations of the learning rules.", min_length=1)
    gradient: Gradient = setting("The network on which the error of the rule is shown.")
    band: Band = setting("Expected results.", default=Band())
    measure: TepMeasure = setting("What is timed.")
    renamed: ClassVar[dict[str, Any]] = StudySettings.renamed | {"elements": "max_stack_elements"}

    @property
    def gated(self) -> bool:
        """Whether any arm waits for the gate of the economy solver."""
        return any(arm.solver == "gated" for arm in self.arms.values())

    def training(self, arm: TepArm) -> Training:
        """Options of an arm's trainings."""
        own = arm.train.model_dump(exclude_none=True)
        return Training.model_validate(self.train.model_dump() | own)

    def rules_of(self, arm: str) -> list[str]:
        """Rules whose trials an arm trains; none if it is off."""
        run = self.arms[arm].run
        return [] if run.trials == 0 else run.rules or self.search.rules

    def trains_tep(self, arm: str) -> bool:
        """Whether an arm that trains a sample has trials of tep."""
        known = arm in self.arms and self.arms[arm].run.trials
        return bool(known) and "tep" in self.rules_of(arm) and "tep" in self.search.rules
