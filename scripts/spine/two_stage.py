"""A study of two stages (load, train) as its jobs see it: its module, and what they are told."""

import importlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import create_model

from scripts.lib.faults import ConfigError
from scripts.lib.implementations import implementations
from scripts.lib.own_study import Unit
from scripts.lib.root import ROOT
from scripts.lib.training_job import TrainingJob
from scripts.lib.typed import Model, setting

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
    # Marks of the files that are read: an edited file is another job.
    files: list[Any] = setting("(path, size, checksum) of each.", default=[])


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
        loaded = self._named("LOADED", [])
        read = self._named("DATA", list(self.settings.model_fields))
        self.data_settings = self._part("DataSettings", {*read, *loaded})
        told = self.settings.model_fields.keys() - set(loaded)
        self.train_settings = self._part("TrainSettings", told)
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

    def _named(self, piece: str, default: list[str]) -> list[str]:
        """Keys of Settings that the module lists as `piece`."""
        named = getattr(self.module, piece, default)
        for name in named:
            if name not in self.settings.model_fields:
                raise ConfigError(
                    f"{self.script}: {piece} has {name!r}, which is no key of Settings."
                )
        return list(named)

    def _part(self, name: str, keys: Iterable[str]) -> type[Model]:
        """Some of the settings: `data` is told those it reads, training all but LOADED."""
        fields = self.settings.model_fields
        told = {key: (fields[key].annotation, fields[key]) for key in fields if key in keys}
        return create_model(name, __base__=Model, **told)

    def files(self, section: Any) -> list[Path]:
        """Files that `data` reads, by the section of the configuration."""
        return list(getattr(self.module, "files", lambda section: [])(section))

    def evaluate(self, unit: Unit, answer: Any) -> dict[str, Any]:
        """Metrics of a unit, and rows of its tables, from what an implementation returned."""
        evaluate = getattr(self.module, "evaluate", None)
        found = evaluate(unit, answer) if evaluate else answer
        if not isinstance(found, dict):
            by = "evaluate returns" if evaluate else "without evaluate, implementations return"
            raise ConfigError(f"{self.script}: {by} {type(found).__name__}, not metrics by name.")
        return dict(found)

    @property
    def draws(self) -> bool:
        """Whether it draws figures of its own from its further tables: scripts/<study>/draw.py."""
        return (ROOT / f"scripts/{self.name}/draw.py").is_file()

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
        settings = study.train_settings.model_validate(job.settings)
        more["options"] = study.options.model_validate(job.options)
    else:
        settings = study.data_settings.model_validate(job.settings)
    return Unit(job.study, job.seed, dict(zip(study.axes, labels, strict=True)), settings, **more)
