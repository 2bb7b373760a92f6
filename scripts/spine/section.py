"""The section of a study of two stages, from its module and what all of them have."""

from collections.abc import Iterable
from functools import cache
from typing import Any

import yaml
from pydantic import create_model

from scripts.lib.faults import ConfigError
from scripts.lib.overlays import Limit, at
from scripts.lib.root import ROOT
from scripts.lib.sections import Arm, StudySettings
from scripts.lib.typed import Model, Name, optional, setting
from scripts.lib.workloads import Measure, Workload
from scripts.lib.yaml_files import LOADER
from scripts.spine.two_stage import TwoStage


def two_stage_studies(studies: Iterable[str]) -> list[str]:
    """Studies of two stages among these, and those that config/config.yaml names."""
    shipped = yaml.load((ROOT / "config/config.yaml").read_bytes(), Loader=LOADER)["studies"]
    names = dict.fromkeys([*shipped, *studies])
    return [name for name in names if (ROOT / f"scripts/{name}/study.py").is_file()]


def parts(section: dict[str, Any]) -> list[str]:
    """What `where` of a workload may be: all of the study, or a value of the strata."""
    return ["", *map(str, section["axes"].get(section["agreement"]["strata"], ()))]


@cache
def two_stage_section(study: TwoStage) -> type[StudySettings]:
    """The model of the study's section of the configuration."""
    axes = {
        axis: optional(info, f"Only these of axes.{axis}.")
        for axis, info in study.module.Axes.model_fields.items()
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
            study.options,
            setting("What it chooses.", default=study.options.model_construct()),
        ),
        processes=(
            int,
            setting("Of a peer: joblib deals its units to these.", default=1, ge=1, le=1024),
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
    own = {name: (info.annotation, info) for name, info in study.settings.model_fields.items()}
    common = {
        "axes": (study.module.Axes, setting("Values of each axis.")),
        "reps": (int, setting("Replications of each combination.", ge=1, le=10**6)),
        "block": (int, setting("Replications per job; changes no number.", ge=1, le=10**6)),
        "arms": (dict[Name, arm], setting("Implementations of the unit.", min_length=1)),
        "measure": (measure, setting("What is timed.")),
    }
    for name in own.keys() & {*StudySettings.model_fields, *common}:
        raise ConfigError(
            f"{study.script}: Settings has {name!r}, which every section has already."
        )
    section = create_model("Section", __base__=StudySettings, **common, **own)
    section.limits += tuple(
        Limit(place.format(axis), at("axes", axis))
        for axis in axes
        for place in ("arms.*.run.{}", "report.only.{}")
    )
    section.limits += (Limit("measure.workloads.*.where", parts),)
    section.limits += tuple(getattr(study.module, "LIMITS", ()))
    if hasattr(study.module, "own_data"):
        section.own_data = property(study.module.own_data)
    section.renamed = section.renamed | getattr(study.module, "RENAMED", {})
    return section
