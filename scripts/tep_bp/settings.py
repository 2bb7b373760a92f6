"""What the configuration of the study sets: tasks, search, training, arms, what is measured.

Jobs do not import this module: what they are told of it is in options.py.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from scripts.lib.overlays import Limit, at
from scripts.lib.sections import Arm, StudySettings
from scripts.lib.typed import DataName, Model, Name, Text, Unique, setting
from scripts.lib.workloads import Measure, Workload
from scripts.tep_bp.data.store import TaskSettings
from scripts.tep_bp.options import (
    Band,
    Classifiers,
    Difference,
    Epochs,
    Faults,
    Gate,
    Gradient,
    Mistake,
    Precision,
    Proposal,
    Rerounded,
    Solver,
    Train,
    Training,
)
from scripts.tep_bp.plans.space import Space

Rule = Literal["tep", "bp", "rbp"]
Trials = Annotated[int, Field(ge=0, le=2**20)]
Block = Annotated[int, Field(ge=1, le=10**6)]


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
    rerounded: int = setting(
        "All of it so often again, from initial weights moved by a unit in the last place.",
        default=0,
        ge=0,
        le=10,
    )
    margin: float = setting(
        "Rules are equal if the mean test accuracy of the best trials is shown to differ by less.",
        default=0.01,
        gt=0,
        le=1,
    )
    block: Block = setting("Trainings per job.")


class Options(Model):
    """What an arm trains otherwise than `train` says."""

    epochs: Epochs | None = setting("Instead of train.epochs.", default=None)
    difference: Difference | None = setting("Instead of train.difference.", default=None)
    workers: int | None = setting("Instead of train.workers.", default=None, ge=0, le=1_024)
    persistent: bool | None = setting("Instead of train.persistent.", default=None)
    proposal: Proposal | None = setting("Instead of train.proposal.", default=None)
    precision: Precision | None = setting("Instead of train.precision.", default=None)
    rerounded: Rerounded | None = setting("Instead of train.rerounded.", default=None)


class Solvers(Model):
    """Solvers by name."""

    plain: Solver = setting("What the original does, and the exact answer of the gate.")
    economy: Solver = setting("Fewer iterations, if the gate lets them.")
    adaptive: Solver = setting("Stops by itself.")


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

    implementation: Literal["reference", "stacked", "fused", "optuna_loop", "legacy", "wrong"] = (
        setting("How trials are trained: a function of scripts/tep_bp/unit.py.")
    )
    solver: str | None = setting(
        "One of `solvers`, or `gated`: economy if it passes its gate, else plain.", default=None
    )
    train: Options = setting("Options of this arm, over those of `train`.", default=Options())
    faults: Faults | None = setting("The original's block and rule.", default=None)
    mistake: Mistake | None = setting("Of a control (models/wrong.py).", default=None)
    run: Run = setting("Trials that it trains.", default=Run())


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


def of_search(section: dict[str, Any]) -> int:
    """Trials that arms other than the result can train: those of the first block."""
    return min(section["search"]["trials"], section["search"]["block"])


def in_rounds(section: dict[str, Any]) -> int | None:
    """Most trials of a block, where all rounds of a search are equal."""
    search = section["search"]
    return search["trials"] if search["mode"] == "rounds" else None


def ranked(section: dict[str, Any]) -> int:
    """Trials of each rule among which the best are chosen."""
    search = section["search"]
    trials, rungs = search["trials"], len(search["halving"]["epochs"])
    for _ in range(rungs - 1 if search["mode"] == "halving" else 0):
        trials = -(-trials // search["halving"]["eta"])
    return trials


def measured(section: dict[str, Any]) -> list[str] | None:
    """Rules that are searched, if a workload is about one of them."""
    rules, workloads = section["search"]["rules"], section["measure"]["workloads"].values()
    return rules if any(load["rounds"] and load["rule"] in rules for load in workloads) else None


RULES = at("search", "rules")
LIMITS = (
    Limit("search.block", in_rounds),
    Limit("arms.*.run.rules", RULES, {"trials": 0}),
    Limit("arms.*.run.trials", of_search),
    Limit("repeats.top", ranked),
    Limit("measure.workloads.*.rule", measured, {"rounds": 0}),
    Limit("measure.workloads.*.rule", RULES),
    Limit("measure.workloads.*.where", RULES),
)


class TaskBand(Band):
    """Expected results of one task: of others nothing is known."""

    task: str = setting("Name of that task.", default="digits")


class Section(StudySettings):
    """config/tep_bp.yaml, the section `tep_bp`."""

    limits: ClassVar = StudySettings.limits + LIMITS

    task: str = setting("Name of the task to search on.")
    tasks: dict[DataName, TaskSettings] = setting("Classification tasks by name.", min_length=1)
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
    band: TaskBand = setting("Expected results of one task.", default=TaskBand())
    classifiers: Classifiers = setting("scikit-learn's classifiers on the task.")
    measure: TepMeasure = setting("What is timed.")
    renamed: ClassVar[dict[str, Any]] = StudySettings.renamed | {"elements": "max_stack_elements"}

    @property
    def own_data(self) -> list[str]:
        return [self.task] if self.tasks[self.task].kind == "npz" else []

    @property
    def gated(self) -> bool:
        """Whether any arm waits for the gate of the economy solver, which is about tep."""
        waiting = any(arm.solver == "gated" for arm in self.arms.values())
        return waiting and "tep" in self.search.rules

    @property
    def compared(self) -> list[tuple[str, str]]:
        """Arms (exact, economy) that the gate compares, by rounding of the initial weights."""
        gate = self.gate
        return [(gate.exact, gate.economy), *([tuple(gate.again)] if gate.again else [])]

    def waited_for(self) -> list[str]:
        """The arms that the gate compares."""
        return [arm for pair in self.compared for arm in pair] if self.gated else []

    @property
    def expected(self) -> Band:
        """Where results on the task are expected; nowhere, on one of which nothing is known."""
        known = self.band.model_dump(exclude={"task"}) if self.band.task == self.task else {}
        return Band.model_validate(known)

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
