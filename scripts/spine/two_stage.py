"""A study of two stages (load, train) as its jobs see it: its module, and what they are told."""

import importlib
from functools import cache
from types import ModuleType
from typing import Any

from pydantic import create_model

from scripts.lib.faults import ConfigError
from scripts.lib.implementations import implementations
from scripts.lib.own_study import Unit
from scripts.lib.training_job import TrainingJob
from scripts.lib.typed import Model

REPLICATE = "rep"
KINDS = ("number", "share", "flag", "list", "label")


class NoSettings(Model):
    """Of a study that sets nothing but its axes, or whose arms have no options."""


class LoadJob(Model):
    """What the job that makes the data of some units is told."""

    study: str
    seed: int
    settings: dict[str, Any]
    units: list[Any]


class TrainJob(TrainingJob):
    """What the job that trains some units of an arm is told."""

    implementation: str
    # Modules that it imports when called: they are imported before anything is timed.
    imports: list[str]
    settings: dict[str, Any]
    options: dict[str, Any]
    # Above 1: its units are dealt to so many processes by joblib.
    processes: int = 1


class TwoStage:
    """The module scripts/<study>/study.py; what it leaves out is empty."""

    def __init__(self, name: str):
        self.name = name
        self.module: ModuleType = importlib.import_module(f"scripts.{name}.study")
        for piece in ("Axes", "METRICS", "data"):
            if not hasattr(self.module, piece):
                raise ConfigError(f"{self.script} has no {piece}; see docs/own-study.md.")
        self.axes = [*self.module.Axes.model_fields, REPLICATE]
        self.settings: type[Model] = getattr(self.module, "Settings", NoSettings)
        self.options: type[Model] = getattr(self.module, "Options", NoSettings)
        self.data_settings: type[Model] = self._data_settings()
        self.metrics: dict[str, str] = self.module.METRICS
        self.phases: list[str] = getattr(self.module, "PHASES", [])
        self.tables: dict[str, list[str]] = getattr(self.module, "TABLES", {})
        self.implementations = implementations(self.module.__name__)
        self._check()

    def _check(self) -> None:
        """Raise ConfigError for pieces of another form than docs/own-study.md says."""
        for name, kind in self.metrics.items():
            if kind not in KINDS:
                raise ConfigError(
                    f"{self.script}: the kind of {name!r} in METRICS is {kind!r}; use one of "
                    f"{', '.join(KINDS)}."
                )
        for piece, value in (("PHASES", self.phases), *self.tables.items()):
            if not isinstance(value, list | tuple):
                raise ConfigError(
                    f"{self.script}: {piece} is {value!r}; it must be a list of names."
                )
        if not self.implementations:
            raise ConfigError(f"{self.script}: no function is declared with @implementation.")
        if REPLICATE in self.axes[:-1]:
            raise ConfigError(
                f"{self.script}: the axis {REPLICATE!r} comes by itself; leave it out."
            )

    def _data_settings(self) -> type[Model]:
        """The part of the settings that `data` reads: a change of others loads nothing again."""
        fields = self.settings.model_fields
        named = getattr(self.module, "DATA", list(fields))
        for name in named:
            if name not in fields:
                raise ConfigError(f"{self.script}: DATA has {name!r}, which is no key of Settings.")
        read = {name: (fields[name].annotation, fields[name]) for name in named}
        return create_model("DataSettings", __base__=Model, **read)

    def evaluate(self, unit: Unit, answer: Any) -> dict[str, Any]:
        """Metrics of a unit, and rows of its tables, from what an implementation returned."""
        evaluate = getattr(self.module, "evaluate", None)
        found = evaluate(unit, answer) if evaluate else answer
        if not isinstance(found, dict):
            by = "evaluate returns" if evaluate else "without evaluate, implementations return"
            raise ConfigError(f"{self.script}: {by} {type(found).__name__}, not metrics by name.")
        return dict(found)

    @property
    def script(self) -> str:
        """The module's path from the repository root."""
        return f"scripts/{self.name}/study.py"


@cache
def two_stage(name: str) -> TwoStage:
    """The study of this name, whose module is imported once."""
    return TwoStage(name)


def unit_of(study: TwoStage, job: LoadJob | TrainJob, labels: list, **more: Any) -> Unit:
    """A unit of a job, with settings and options as the study's own models."""
    if isinstance(job, TrainJob):
        settings = study.settings.model_validate(job.settings)
        more["options"] = study.options.model_validate(job.options)
    else:
        settings = study.data_settings.model_validate(job.settings)
    return Unit(job.study, job.seed, dict(zip(study.axes, labels, strict=True)), settings, **more)
