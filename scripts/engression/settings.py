"""What the study sets: the network, its training, the evaluation, and what an arm may choose."""

from typing import Annotated, Literal

from pydantic import Field

from scripts.engression.own_laws import OwnLaw
from scripts.lib.own_study import Model, setting
from scripts.lib.typed import Betas, Name

Draws = Annotated[int, Field(ge=2, le=10_000)]


class Net(Model):
    """The generator network."""

    noise_dim: int = setting("Width of the Gaussian noise.", ge=1, le=100_000)
    hidden: int = setting("Width of each hidden layer.", ge=1, le=100_000)
    hidden_layers: int = setting("Number of ReLU layers.", ge=1, le=100)


class Train(Model):
    """Training options shared by all arms."""

    m: int = setting("Noise draws per data point and step (grouped loss).", ge=2, le=10_000)
    batch: int = setting("Data points per step.", ge=2, le=10**6)
    lr: float = setting("Adam step size.", gt=0)
    betas: Betas = setting("Adam moment decay rates.")
    adam_eps: float = setting("Adam epsilon.", gt=0)
    max_epochs: int = setting("Cap on epochs.", ge=1, le=10**6)
    patience: int = setting("Epochs without a lower loss before stopping.", ge=1, le=10**6)
    restore: Literal["last", "best"] = setting("Weights that are evaluated.")


class Evaluation(Model):
    """Evaluation options."""

    mmd_gamma: float = setting("Kernel exp(-gamma (x-y)^2).", gt=0)
    ks_alpha: float = setting("Level of the Kolmogorov-Smirnov test.", gt=0, lt=1)
    test_draws: int = setting(
        "Fresh true and generated draws for the truth-based metrics.", ge=100, le=10**7
    )


class Settings(Model):
    """Everything but the axes that changes a number."""

    own: dict[Name, OwnLaw] = setting("Laws of your own by name, for axes.law.", default={})
    net: Net = setting("The generator network.")
    train: Train = setting("Training options.")
    eval: Evaluation = setting("Evaluation options.")


class Options(Model):
    """What an arm may choose: precision, epochs, and how many noise draws its estimator uses."""

    precision: Literal["single", "double"] = setting(
        "Of data, weights and all that is computed from them; draws are the same.",
        default="single",
    )
    epochs: int | None = setting(
        "Epochs after which the arm stops; it then has no metrics of a whole training.",
        default=None, ge=1, le=10**6,
    )  # fmt: skip
    draws_per_point: Draws | None = setting("Pooled noise draws per data point.", default=None)
    early_draws: Draws | None = setting(
        "Draws per data point in the first steps (projected only).", default=None
    )
    early_steps: int = setting("Steps that use early_draws.", default=0, ge=0, le=10**8)
    antithetic: bool = setting(
        "Second half of the draws mirrors the first (projected only).", default=False
    )
