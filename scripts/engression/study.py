"""Does a small network trained with the energy score learn a law, of one dimension or several?

A unit is a law, a number n of training points and a replication (docs/studies/engression.md).
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.engression.laws import LAWS
from scripts.engression.own_laws import check_own, data_of
from scripts.engression.settings import Options, Settings
from scripts.lib.config import check_member
from scripts.lib.own_study import (
    ConfigError,
    Failed,
    Limit,
    Model,
    Unit,
    at,
    implementation,
    setting,
    values,
)
from scripts.lib.typed import Name

if TYPE_CHECKING:
    from scripts.engression.models.fit import Fit
    from scripts.engression.models.peers import Official

__all__ = ["Options", "Settings"]

PHASES = ["data", "noise", "forward", "loss", "backward", "optimizer", "bookkeeping"]
DATA: list[str] = []  # none of the other settings changes a sample
LOADED = ["own"]
TABLES = {"histories": ["epoch", "loss", "term1", "term2"]}
METRICS = (
    dict.fromkeys(
        [
            *("n_epochs", "n_steps", "noise_rows"),
            *("final_loss", "final_term1", "final_term2", "best_loss"),
            *("mmd", "mmd2_u", "ks", "ks_p", "mean_distance", "cov_frobenius", "cov_trace"),
            *("energy_dist_test", "excess_loss", "w1_test"),
            *("q01_error", "q05_error", "q50_error", "q95_error", "q99_error"),
        ],
        "number",
    )
    | dict.fromkeys(["hit_cap", "ks_reject"], "flag")
    | {"early_values": "list"}
)
# Nothing is measured on a law that an overlay does not study.
LIMITS = (Limit("measure.workloads.*.law", at("axes", "law")),)
RENAMED = {"laws": "axes.law", "sizes": "axes.n"}


class Axes(Model):
    """What a unit is, beside its replication."""

    law: values(Name) = setting("Data-generating laws, ours or of `own`.", min_length=1)
    n: values(int, ge=2, le=10**7) = setting("Training-sample sizes (points).", min_length=1)


# Options that every implementation reads, and those of single ones.
EVERYWHERE = {"precision", "epochs"}
PROJECTED = ("projected", "stacked", "spread_twice", "unit_noise")
READ = {"pooled": {"draws_per_point"}} | {name: set(Options.model_fields) for name in PROJECTED}


def check_laws(section: Any) -> None:
    """Raise ConfigError or LoadError unless every unit, measured ones too, can be drawn."""
    loads, sizes = section.measure.workloads, dict.fromkeys(section.axes.law, section.axes.n)
    named = {"engression.axes.law": section.axes.law}
    named |= {f"engression.measure.workloads.{name}.law": loads[name].law or () for name in loads}
    for where, laws in named.items():
        for i, name in enumerate(laws):
            check_member(name, [*LAWS, *section.own], f"{where}[{i}]")
    for load in loads.values():
        for name in load.law or section.axes.law if load.rounds else ():
            sizes[name] = [*sizes.get(name, []), *(load.n or section.axes.n)]
    for name, own in section.own.items():
        where = f"engression.own.{name}"
        if name in LAWS:
            raise ConfigError(f"Config: {where} has the name of a law of ours; give it another.")
        if name not in section.axes.law:
            raise ConfigError(f"Config: {where} is not in engression.axes.law; add it there.")
        check_own(own, sizes[name], where)


def check(section: Any) -> None:
    """Raise ConfigError if a law, or an arm's options, are not what they must be."""
    check_laws(section)
    for name, arm in section.arms.items():
        method, options = arm.implementation or name, arm.options
        where = f"Config: engression.arms.{name}"
        for key in options.model_fields_set - READ.get(method, set()) - EVERYWHERE:
            raise ConfigError(f"{where}.options.{key} has no effect on {method!r}; take it out.")
        if method in ("pooled", *PROJECTED) and options.draws_per_point is None:
            raise ConfigError(f"{where}.options.draws_per_point is missing.")
        if method in PROJECTED and section.net.noise_dim < section.net.hidden:
            raise ConfigError(
                f"{where} uses {method!r}, which needs net.noise_dim >= net.hidden, got "
                f"{section.net.noise_dim} < {section.net.hidden}; use the implementation 'pooled'."
            )
        for key in ("draws_per_point", "early_draws") if options.antithetic else ():
            if (getattr(options, key) or 0) % 2:
                raise ConfigError(
                    f"{where}.options.{key} is {getattr(options, key)}; antithetic draws come in "
                    "pairs, so it must be even."
                )


def own_data(section: Any) -> list[str]:
    """Laws of the user's."""
    return [name for name in section.axes.law if name in section.own]


def files(section: Any) -> list[Path]:
    """Files of own laws."""
    return [Path(own.file) for own in section.own.values()]


def data(unit: Unit) -> dict[str, Any]:
    """The sample `x` of the unit, float32 of shape (n,), from the unit's `data` stream.

    An own law may have several dimensions, (n, d), and has more arrays beside it.
    """
    if own := unit.settings.own.get(unit["law"]):
        return data_of(own, unit)
    return {"x": LAWS[unit["law"]].draw(unit.rng("data"), unit["n"]).astype("float32")}


@implementation
def reference(unit: Unit) -> "Fit":
    from scripts.engression.models.fit import fit
    from scripts.engression.models.losses import broadcast_loss
    from scripts.engression.models.reference import fit_autograd

    return fit(unit, fit_autograd, broadcast_loss)


@implementation
def cdist(unit: Unit) -> "Fit":
    from scripts.engression.models.fit import fit
    from scripts.engression.models.losses import cdist_loss
    from scripts.engression.models.reference import fit_autograd

    return fit(unit, fit_autograd, cdist_loss)


@implementation
def exact(unit: Unit) -> "Fit":
    from scripts.engression.models.descent import descended
    from scripts.engression.models.exact import GroupedGradient

    return descended(unit, GroupedGradient)


@implementation
def pooled(unit: Unit) -> "Fit":
    from scripts.engression.models.descent import descended
    from scripts.engression.models.pooled import PooledGradient

    return descended(unit, PooledGradient)


@implementation
def projected(unit: Unit) -> "Fit":
    from scripts.engression.models.descent import descended
    from scripts.engression.models.projected import ProjectedGradient

    return descended(unit, ProjectedGradient)


def sample_shape(unit: Unit) -> tuple[int, ...]:
    """What units of one stack have in common."""
    return unit.data["x"].shape


@implementation(devices=("cpu", "cuda"), stack=sample_shape)
def stacked(units: list[Unit]) -> "list[Fit | Failed]":
    """Projected, for units with samples of one shape at once."""
    from scripts.engression.models.stacked_fit import fit_stack

    return fit_stack(units)


@implementation
def spread_twice(unit: Unit) -> "Fit":
    from scripts.engression.models.descent import descended
    from scripts.engression.models.wrong import SpreadTwice

    return descended(unit, SpreadTwice)


@implementation
def unit_noise(unit: Unit) -> "Fit":
    from scripts.engression.models.descent import descended
    from scripts.engression.models.wrong import UnitNoise

    return descended(unit, UnitNoise)


@implementation
def official(unit: Unit) -> "Official":
    """The package engression with the study's widths, batches, step size and epochs."""
    from scripts.engression.models.peers import fit_official, sizes

    return fit_official(unit, **sizes(unit))


@implementation
def official_defaults(unit: Unit) -> "Official":
    """The package engression as it ships."""
    from scripts.engression.models.peers import fit_official

    return fit_official(unit)


def evaluate(unit: Unit, fitted: "Fit | Official") -> dict[str, Any]:
    """Metrics and history; of a diverged fit, whose loss is not finite, the history only.

    `early_values` are generated after the first 5 epochs. A unit that was stopped after a number of
    epochs has these only. What a package trained scores itself.
    """
    from scripts.engression.metrics import early_values, evaluated

    if hasattr(fitted, "evaluated"):
        return fitted.evaluated(unit)

    history, epochs = fitted.history, len(fitted.history)
    found = {"n_epochs": epochs, "n_steps": fitted.n_steps, "noise_rows": fitted.noise_rows}
    found["hit_cap"] = float(epochs == unit.settings.train.max_epochs)
    found["histories"] = [[epoch, *row] for epoch, row in enumerate(history, start=1)]
    if fitted.diverged:
        return found | {"status": "diverged"}
    final = dict(zip(("final_loss", "final_term1", "final_term2"), history[-1], strict=True))
    found |= final | {"best_loss": fitted.best_loss}
    found["early_values"] = early_values(unit, fitted.early)
    if unit.options.epochs is not None:
        return found
    return found | evaluated(unit, fitted.parameters)
