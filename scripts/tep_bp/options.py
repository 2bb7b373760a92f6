"""What jobs are told of training, solvers and tests: keys with meaning and bounds."""

from typing import Annotated, Literal

from pydantic import Field

from scripts.lib.typed import Betas, Model, Name, Rising, Unique, setting
from scripts.tep_bp.plans.space import Activation

Difference = Literal["centred", "one_sided"]
Proposal = Literal["none", "compiled", "bfloat16", "warm_start"]
Mistake = Literal["dropped_nudge", "lost_sign", "full_batch"]
Precision = Literal["single", "double"]
Rerounded = Annotated[int, Field(ge=0, le=1_000)]
Positive = Annotated[float, Field(gt=0)]
Epochs = Annotated[int, Field(ge=1, le=100_000)]
Iterations = Annotated[int, Field(ge=1, le=100_000)]
Interval = Annotated[Rising, Field(min_length=2, max_length=2)]


class Train(Model):
    """Training options shared by all arms."""

    epochs: Epochs = setting("Passes over the training samples.")
    betas: Betas = setting("Adam moment decay rates.")
    adam_eps: float = setting("Adam epsilon.", gt=0)
    spectral_cap: float = setting("Largest spectral norm of the recurrent weights.", gt=0, lt=1)
    power_steps: int = setting("Power iterations per step that watch the norm.", ge=1, le=1_000)
    difference: Difference = setting(
        "Nudged both ways, or one way less the free state (reference only)."
    )
    workers: int = setting("DataLoader processes of the reference.", ge=0, le=1_024)
    persistent: bool = setting("Keep them from epoch to epoch.")
    proposal: Proposal = setting("The original's for the free phase of tep (reference only).")
    precision: Precision = setting(
        "Samples, weights and all between in float32 or float64 (reference only).",
        default="single",
    )
    rerounded: Rerounded = setting(
        "Initial weights moved by one unit in the last place, in directions of this number; 0 not.",
        default=0,
    )


class Training(Train):
    """Options of one training; `watch`: score after every epoch, or only after the last."""

    watch: bool = True


class Solver(Model):
    """Iterations towards the fixed points: h' = h + omega (f(h) - h) + mu (h - previous h)."""

    omega: float = setting("Relaxation.", gt=0, lt=2)
    mu: float = setting("Momentum.", ge=0, lt=1)
    free: Iterations = setting("Iterations of the free phase.")
    nudged: Iterations = setting("Iterations of each nudged phase.")
    tol: Positive | None = setting(
        "The free phase stops at this largest change (reference only).", default=None
    )


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
    again: Annotated[list[Name], Field(max_length=2)] = setting(
        "The same two arms from initial weights rounded otherwise; none, if empty.", default=[]
    )
    margin: float = setting("Largest mean change of the late validation accuracy.", gt=0)
    share: float = setting(
        "Largest error that the solver adds to a gradient, in that of the draw of a batch.", gt=0
    )
    networks: int = setting("Trained networks whose gradients are compared.", ge=1, le=1_000)
    epochs: Epochs = setting("Epochs of their training.")
    beta: Positive = setting("Largest beta of these networks.")


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


class Classifiers(Model):
    """scikit-learn's classifiers, beside which a reader sees what an accuracy is worth."""

    seeds: int = setting("Trainings of the perceptron.", ge=1, le=1_000)
    hidden: int = setting("Its hidden units.", ge=1, le=100_000)
    epochs: Epochs = setting("Its most epochs.")
    iterations: Iterations = setting("Most iterations of the logistic regression.")


class Band(Model):
    """Expected results, lowest and highest; null where nothing is known."""

    best: Interval | None = setting("Best validation accuracy of each rule.", default=None)
    median: Interval | None = setting("Median validation accuracy of each rule.", default=None)
    test: Interval | None = setting("Test accuracy of each rule's chosen trial.", default=None)
    difference: Interval | None = setting("Its difference between tep and bp.", default=None)
