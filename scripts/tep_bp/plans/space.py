"""The search space: what may be chosen for each hyperparameter, and a point of it."""

from typing import Annotated, Literal, NamedTuple

from pydantic import AfterValidator, Field

from scripts.lib.typed import Model, Unique, rising, setting

Activation = Literal["tanh", "relu"]
# Widths are multiples of 8, so that stacked trials stay equal bit for bit.
Width = Annotated[int, Field(ge=8, le=100_000, multiple_of=8)]
Batch = Annotated[int, Field(ge=1, le=100_000)]
Decay = Annotated[float, Field(ge=0)]


Range = Annotated[
    list[Annotated[float, Field(gt=0)]],
    Field(min_length=2, max_length=2),
    AfterValidator(rising),
]

RANGES = ("lr", "beta")  # [lowest, highest], log-uniform; the others are lists of equal shares
# In the order of a plan's dimensions, so that a point means the same in every version.
DIMENSIONS = ("hidden", "batch", "lr", "weight_decay", "activation", "beta")
ONLY = {"beta": ("tep",)}  # rules that read a hyperparameter which others do not


class Space(Model):
    """Lists have equal shares, ranges are log-uniform."""

    hidden: Annotated[Unique[Width], Field(min_length=1)] = setting("Widths, multiples of 8.")
    batch: Annotated[Unique[Batch], Field(min_length=1)] = setting("Samples per step.")
    lr: Range = setting("Adam step size: lowest, highest.")
    weight_decay: Annotated[Unique[Decay], Field(min_length=1)] = setting(
        "Decoupled weight decay of the matrices."
    )
    activation: Annotated[Unique[Activation], Field(min_length=1)] = setting(
        "Names of activations."
    )
    beta: Range = setting("Strength of tep's nudge: lowest, highest.")

    def of(self, key: str) -> list:
        """Values, or lowest and highest, of a hyperparameter."""
        return getattr(self, key)


class Trial(NamedTuple):
    """A learning rule with its hyperparameters: a point of the space, trained once.

    `trial` numbers the point of the plan, which all rules share; `seed` is the point's own.
    `beta` (strength of the nudge) is read by `tep` only. `weight_decay` is decoupled.
    """

    rule: str
    trial: int
    hidden: int
    batch: int
    lr: float
    weight_decay: float
    activation: str
    beta: float
    seed: int


def searched(rule: str) -> list[str]:
    """Hyperparameters that matter to a rule."""
    return [key for key in DIMENSIONS if rule in ONLY.get(key, (rule,))]
