"""Does a network trained with the conditional energy score learn a law given covariates?

A unit is a table, how it is split, and a replication (docs/studies/regression.md).
"""

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scripts.engression.settings import Net, Options, Train
from scripts.lib.config import check_member
from scripts.lib.own_study import ConfigError, Failed, Model, Unit, implementation, setting, values
from scripts.lib.typed import Name
from scripts.regression.sources import CURVES, Source, check_source, drawn, read
from scripts.regression.split import split, standardised

if TYPE_CHECKING:
    from scripts.engression.models.fit import Fit
    from scripts.regression.peers import Official

__all__ = ["Options"]

PHASES = ["data", "noise", "forward", "loss", "backward", "optimizer", "bookkeeping"]
TABLES = {"curve": ["x", "low", "median", "high"], "points": ["x", "y", "trained"]}
METRICS = dict.fromkeys(
    [
        *("n_train", "n_test", "n_epochs", "n_steps", "noise_rows"),
        *("final_loss", "final_term1", "final_term2", "best_loss"),
        *("energy_score", "coverage", "width", "median_error", "mean_error", "curve_error"),
    ],
    "number",
) | {"hit_cap": "flag", "early_values": "list"}
DATA = ["split"]
LOADED = ["tables"]
MOST_POINTS = 300  # of a figure
EARLY_ROWS = 64


class Axes(Model):
    """What a unit is, beside its replication."""

    table: values(Name) = setting("Names of `tables`.", min_length=1)
    split: values(Literal["inside", "beyond"]) = setting(
        "Test rows at random, or those with the largest values of a covariate.", min_length=1
    )


class Split(Model):
    """Which rows test."""

    test_share: float = setting("Share of rows that do not train.", gt=0, lt=0.9)
    beyond_share: float = setting("Share of rows beyond the support of training.", gt=0, lt=0.9)
    most_rows: int = setting("Rows of a table that are used, drawn if there are more.", ge=40,
                             le=10**7)  # fmt: skip
    most_tested: int = setting("Rows that are scored, drawn if there are more.", ge=10, le=10**6)


class Evaluation(Model):
    """Evaluation options."""

    draws: int = setting("Conditional draws for each test row.", ge=19, le=10_000)


class Settings(Model):
    """Everything but the axes that changes a number."""

    tables: dict[Name, Source] = setting("Where tables come from, by name.", min_length=1)
    split: Split = setting("Which rows test.")
    net: Net = setting("The generator network.")
    train: Train = setting("Training options.")
    eval: Evaluation = setting("Evaluation options.")


# Options that every implementation reads, and those of single ones.
EVERYWHERE = {"precision", "epochs"}
PROJECTED = ("projected", "pools_given")
READ = {name: set(Options.model_fields) for name in PROJECTED}


def check(section: Any) -> None:
    """Raise ConfigError if tables or an arm's options are not what they must be."""
    for name in section.axes.table:
        check_member(name, section.tables, "regression.axes.table")
    for name, load in section.measure.workloads.items():
        for table in load.table or ():
            check_member(table, section.tables, f"regression.measure.workloads.{name}.table")
    for name in used(section):
        source, where = section.tables[name], f"regression.tables.{name}"
        check_source(source, where)
        if "beyond" in section.axes.split and not (source.x or source.generated):
            raise ConfigError(
                f"Config: {where} has no covariate, so nothing lies beyond its support; set "
                "regression.axes.split to [inside]."
            )
    for name, arm in section.arms.items():
        method, options = arm.implementation or name, arm.options
        where = f"Config: regression.arms.{name}"
        for key in options.model_fields_set - READ.get(method, set()) - EVERYWHERE:
            raise ConfigError(f"{where}.options.{key} has no effect on {method!r}; take it out.")
        if method not in PROJECTED:
            continue
        if options.draws_per_point is None:
            raise ConfigError(f"{where}.options.draws_per_point is missing.")
        if section.net.noise_dim < section.net.hidden:
            raise ConfigError(
                f"{where} uses {method!r}, which needs net.noise_dim >= net.hidden, got "
                f"{section.net.noise_dim} < {section.net.hidden}; use 'exact'."
            )
        for key in ("draws_per_point", "early_draws") if options.antithetic else ():
            if (count := getattr(options, key)) is not None and (count % 2 or count < 4):
                raise ConfigError(
                    f"{where}.options.{key} is {count}; mirrored draws of a data point come in "
                    "pairs, of which it needs two: 4, 6, ..."
                )


def used(section: Any) -> list[str]:
    """Tables of units, and of measured ones."""
    measured = [name for load in section.measure.workloads.values() for name in load.table or ()]
    return list(dict.fromkeys([*section.axes.table, *measured]))


def files(section: Any) -> list[Path]:
    """Files that `data` reads: those of the tables that are units or measured."""
    sources = [section.tables[name] for name in used(section)]
    return [source.path for source in sources if source.file]


def data(unit: Unit) -> dict[str, np.ndarray]:
    """Responses x (n,) or (n, d) and covariates given (n, p) of training, those of test, moments.

    float32, standardised by the rows of training; `mean` and `sd` are those of the columns of the
    covariates, then of the responses; `test_median` is the curve of a generated table, which is
    the median there. Random: draws of a generated table and the split, from the
    unit's stream `data`.
    """
    source, how, rng = unit.settings.tables[unit["table"]], unit.settings.split, unit.rng("data")
    table = read(source) if source.file else drawn(source, rng)
    if len(table.y) > how.most_rows:
        kept = np.sort(rng.permutation(len(table.y))[: how.most_rows])
        table = table._replace(x=table.x[kept], y=table.y[kept])
    train, test = split(table, unit["split"], how.test_share, how.beyond_share, rng)
    test = test[: how.most_tested]
    mean, sd = standardised(table, train)
    count = table.x.shape[1]
    given, y = (table.x - mean[:count]) / sd[:count], (table.y - mean[count:]) / sd[count:]
    if unit["rep"] == 0:
        told = ", ".join(table.names[count:]) + " given " + (", ".join(table.names[:count]) or "-")
        logging.info(
            "%s: %s; %d rows, %d train, %d test %s; standardised by the rows of training",
            unit["table"], told, len(table.y), len(train), len(test), unit["split"],
        )  # fmt: skip
    several, known = y.shape[1] > 1, {}
    if source.generated:
        medians = CURVES[source.generated](table.x[test, 0])
        known = {"test_median": (medians[:, None] - mean[count:]) / sd[count:]}
    return known | {
        "x": np.ascontiguousarray(y[train] if several else y[train, 0]).astype("float32"),
        "given": given[train].astype("float32"),
        "test_x": y[test],
        "test_given": given[test].astype("float32"),
        "mean": mean,
        "sd": sd,
    }


@implementation
def reference(unit: Unit) -> "Fit":
    from scripts.engression.models.fit import fit
    from scripts.engression.models.losses import broadcast_loss
    from scripts.engression.models.reference import fit_autograd

    return fit(unit, fit_autograd, broadcast_loss)


@implementation
def exact(unit: Unit) -> "Fit":
    from scripts.engression.models.descent import descended
    from scripts.engression.models.exact import GroupedGradient

    return descended(unit, GroupedGradient)


@implementation
def projected(unit: Unit) -> "Fit":
    from scripts.engression.models.descent import descended
    from scripts.engression.models.projected import ProjectedGradient

    return descended(unit, ProjectedGradient)


@implementation
def pools_given(unit: Unit) -> "Fit":
    from scripts.engression.models.descent import descended
    from scripts.regression.wrong import PoolsGiven

    return descended(unit, PoolsGiven)


@implementation
def median_regression(unit: Unit) -> "Fit":
    """The network without noise, by the mean absolute error: its energy score is that error."""
    from scripts.engression.models.fit import fit
    from scripts.engression.models.losses import broadcast_loss
    from scripts.engression.models.reference import fit_autograd

    if not unit.data["given"].shape[1]:
        raise Failed("a network without noise needs a covariate")
    net = unit.settings.net.model_copy(update={"noise_dim": 0})
    settings = unit.settings.model_copy(update={"net": net})
    return fit(replace(unit, settings=settings), fit_autograd, broadcast_loss)


@implementation
def official(unit: Unit) -> "Official":
    """The package engression with the study's widths, batches, step size and epochs."""
    from scripts.engression.models.peers import sizes
    from scripts.regression.peers import fit_official

    return fit_official(unit, **sizes(unit))


@implementation
def official_defaults(unit: Unit) -> "Official":
    """The package engression as it ships."""
    from scripts.regression.peers import fit_official

    return fit_official(unit)


def evaluate(unit: Unit, fitted: "Fit | Official") -> dict[str, Any]:
    """Metrics, and for the first replication beyond one covariate a curve; none if it diverged.

    `early_values` are generated for rows of training after the first 5 epochs. A unit that was
    stopped after a number of epochs has these only.
    """
    from scripts.regression.metrics import curve, generator, scores

    own, x = unit.data, unit.data["x"]
    found = {"n_train": len(x), "n_test": len(own["test_x"])}
    if hasattr(fitted, "engressor"):
        found |= {"n_epochs": fitted.n_epochs}
        final, values, diverged = fitted.losses, fitted.values, not np.isfinite(fitted.losses[0])
    else:
        values = generator(fitted.parameters, fitted.widths)
        final, diverged = fitted.history[-1], fitted.diverged
        found |= {"n_epochs": len(fitted.history), "n_steps": fitted.n_steps}
        found |= {"noise_rows": fitted.noise_rows, "best_loss": fitted.best_loss}
        found["hit_cap"] = float(len(fitted.history) == unit.settings.train.max_epochs)
    if diverged:
        return found | {"status": "diverged"}
    found |= dict(zip(("final_loss", "final_term1", "final_term2"), final, strict=True))
    if hasattr(fitted, "early"):
        early = generator(fitted.early, fitted.widths)
        drawn = early(own["given"][:EARLY_ROWS], 1, unit.torch_rng("generate"))
        found["early_values"] = drawn.ravel().tolist()
    if unit.options.epochs is not None:
        return found
    draws = values(own["test_given"], unit.settings.eval.draws, unit.torch_rng("test"))
    found |= scores(own["test_x"], draws)
    if "test_median" in own:
        found["curve_error"] = float(np.abs(np.median(draws, axis=1) - own["test_median"]).mean())
    if (unit["split"], unit["rep"]) == ("beyond", 0) and len(own["mean"]) == 2:
        found["curve"] = curve(values, own, unit.torch_rng("curve"))
        found["points"] = points(own)
    return found


def points(own: dict[str, np.ndarray]) -> list[list[float]]:
    """Rows (x, y, trained) of some data points, in the units of the table."""
    parts = ((own["given"], own["x"], 1), (own["test_given"], own["test_x"], 0))
    return [
        [*(np.array([v.item(), y.item()]) * own["sd"] + own["mean"]), trained]
        for x, response, trained in parts
        for v, y in zip(x[:MOST_POINTS], response[:MOST_POINTS], strict=True)
    ]
