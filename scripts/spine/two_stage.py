"""A study of two stages (load, train) as the spine sees it: its section, its jobs, its rows."""

import importlib
from collections.abc import Iterable
from functools import cache, cached_property
from types import ModuleType
from typing import Any

import yaml
from pydantic import create_model

from scripts.lib.code import ROOT
from scripts.lib.implementations import implementations
from scripts.lib.own_study import Unit
from scripts.lib.sections import Arm, Measure, StudySettings, Workload
from scripts.lib.training_job import TrainingJob
from scripts.lib.typed import Model, Name, optional, setting
from scripts.lib.yaml_files import LOADER

REPLICATE = "rep"


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
    settings: dict[str, Any]
    options: dict[str, Any]


class TwoStage:
    """The module scripts/<study>/study.py; what it leaves out is empty."""

    def __init__(self, name: str):
        self.name = name
        self.module: ModuleType = importlib.import_module(f"scripts.{name}.study")
        self.axes = [*self.module.Axes.model_fields, REPLICATE]
        self.settings: type[Model] = getattr(self.module, "Settings", NoSettings)
        self.options: type[Model] = getattr(self.module, "Options", NoSettings)
        self.data_settings: type[Model] = self._data_settings()
        self.metrics: dict[str, str] = self.module.METRICS
        self.phases: list[str] = getattr(self.module, "PHASES", [])
        self.tables: dict[str, list[str]] = getattr(self.module, "TABLES", {})
        self.implementations = implementations(self.module.__name__)

    def _data_settings(self) -> type[Model]:
        """The part of the settings that `data` reads: a change of others loads nothing again."""
        fields = self.settings.model_fields
        named = getattr(self.module, "DATA", list(fields))
        read = {name: (fields[name].annotation, fields[name]) for name in named}
        return create_model("DataSettings", __base__=Model, **read)

    def evaluate(self, unit: Unit, answer: Any) -> dict[str, Any]:
        """Metrics of a unit, and rows of its tables, from what an implementation returned."""
        evaluate = getattr(self.module, "evaluate", None)
        return dict(evaluate(unit, answer) if evaluate else answer)

    @property
    def script(self) -> str:
        """The module's path from the repository root."""
        return f"scripts/{self.name}/study.py"

    @cached_property
    def section(self) -> type[StudySettings]:
        """The model of the study's section of the configuration."""
        axes = {
            axis: optional(info, f"Only these of axes.{axis}.")
            for axis, info in self.module.Axes.model_fields.items()
        }
        reps = setting("Only the first replications; 0 switches the arm off.", ge=0, le=10**6,
                       default=None)  # fmt: skip
        limits = create_model("Limits", __base__=Model, **axes, reps=(int | None, reps))
        arm = create_model(
            "TwoStageArm",
            __base__=Arm,
            implementation=(
                str | None,
                setting("A function of study.py; that of its own name, if left out.", default=None),
            ),
            options=(
                self.options,
                setting("What it chooses.", default=self.options.model_construct()),
            ),
            run=(limits, setting("Units that it computes; all, if left out.", default=limits())),
        )
        workload = create_model(
            "TwoStageWorkload",
            __base__=Workload,
            **axes,
            settings=(dict[str, Any], setting("Settings that are others here.", default={})),
        )
        measure = create_model(
            "TwoStageMeasure",
            __base__=Measure,
            workloads=(dict[Name, workload], setting("What is computed.", min_length=1)),
        )
        own = {name: (info.annotation, info) for name, info in self.settings.model_fields.items()}
        section = create_model(
            "Section",
            __base__=StudySettings,
            axes=(self.module.Axes, setting("Values of each axis.")),
            reps=(int, setting("Replications of each combination.", ge=1, le=10**6)),
            block=(int, setting("Replications per job; changes no number.", ge=1, le=10**6)),
            arms=(dict[Name, arm], setting("Implementations of the unit.", min_length=1)),
            measure=(measure, setting("What is timed.")),
            **own,
        )
        section.renamed = section.renamed | getattr(self.module, "RENAMED", {})
        return section


def two_stage_studies(studies: Iterable[str]) -> list[str]:
    """Studies of two stages among these, and those that config/config.yaml names."""
    shipped = yaml.load((ROOT / "config/config.yaml").read_bytes(), Loader=LOADER)["studies"]
    names = dict.fromkeys([*shipped, *studies])
    return [name for name in names if (ROOT / f"scripts/{name}/study.py").is_file()]


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
