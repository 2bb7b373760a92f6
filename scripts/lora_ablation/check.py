"""What config/lora_ablation.yaml must hold beyond what its schema says."""

from scripts.lib.config import (
    JOBS,
    UNITS,
    check_config,
    check_keys,
    check_member,
    check_size,
    check_work,
)
from scripts.lib.contract import check_contract, check_rounds
from scripts.lib.faults import ConfigError
from scripts.lora_ablation.jobs import (
    AXES,
    METRICS,
    PHASES,
    WEIGHTS,
    axis_values,
    cells,
    prepared_stages,
)
from scripts.lora_ablation.representations.catalogue import REPRESENTATIONS

STAGES_OF_WORK = {
    "load": "load",
    "features": "features",
    "svd": "features",
    "fft": "features",
    "scaler": "trainer",
    "train": "trainer",
    "total": "trainer",
}
# Keys that each kind of work needs, and those that would make another work of it.
KEYS_OF_WORK = {
    "load": ("adapters",),
    "features": ("adapters",),
    "svd": ("rank", "matrices"),
    "fft": ("rank", "matrices"),
    "scaler": ("representations",),
    "train": ("representations",),
    "total": ("representations", "adapters"),
}
KEYS_OF_OTHERS = dict.fromkeys(("svd", "fft"), ("adapters",)) | dict.fromkeys(
    ("scaler", "train"), ("adapters", "matrices")
)
# Arms whose ways with a matrix are measured by themselves (scripts/lora_ablation/measured.py).
ARMS_OF_WORK = {"svd": ("reference", "lowrank", "resident"), "fft": ("reference", "resident")}
SHARDS = 100  # whose files stand on one command line, for every family
# Keys of each kind of source: those it needs, and those it may have.
TABLE = ("label", "group", "name", "rank", "alpha")
SOURCE_KEYS = {
    "generated": (("adapters", "rank", "signal"), ()),
    "datasets": (("path",), ("split", *TABLE)),
    "hub": (("id", "split", "adapters"), TABLE),
    "parquet": (("path",), TABLE),
    "safetensors": (("path", "labels"), ()),
    "matrix": (("path", "dimensions", "labels"), ("alpha",)),
}
HERE = "lora_ablation"


def check_lora_ablation(config: dict) -> None:
    """Raise ConfigError with one sentence for the first fault of the section."""
    check_config(config, "lora_ablation.schema.yaml", at=HERE)
    check_contract(HERE, config, AXES, METRICS, PHASES, axis_values(config))
    here, arms = HERE, config["arms"]
    check_member(config["source"], config["sources"], f"{here}.source")
    for name, source in config["sources"].items():
        check_keys(source, SOURCE_KEYS, f"{here}.sources.{name}")
    for name in config["representations"]:
        check_member(name, [*REPRESENTATIONS, WEIGHTS], f"{here}.representations")
    for name in config["curves"]["representations"]:
        check_member(name, config["representations"], f"{here}.curves.representations")
    for arm, limits in config["run"].items():
        check_member(arm, arms, f"{here}.run: arm")
        _check_run(f"{here}.run.{arm}", arm, limits, config)
    _check_result(config)
    reference = config["agreement"]["reference"]
    if reference not in config["prepare"]["arms"]:
        raise ConfigError(
            f"Config: {here}.prepare.arms is without {reference}, with which others are compared."
        )
    for arm in config["prepare"]["arms"]:
        check_member(arm, arms, f"{here}.prepare.arms")
        if not {"load", "features"} & set(arms[arm]):
            raise ConfigError(
                f"Config: {here}.prepare.arms has {arm}, which neither loads nor computes features."
            )
    for name, workload in config["measure"]["workloads"].items():
        _check_workload(f"{here}.measure.workloads.{name}", workload, config)


def check_shards(config: dict, adapters: int) -> None:
    """Raise ConfigError if so many adapters are too many shards."""
    shards = -(-adapters // config["shard"])
    check_size(shards, SHARDS, "shards", f"{HERE}.shard", "use larger shards or fewer adapters")


def _check_result(config: dict) -> None:
    """The result arm trains something, and there are not too many cells or runs to tell."""
    arm = config["report"]["arm"]
    if not cells(config, arm):
        raise ConfigError(
            f"Config: {HERE}.run.{arm} trains nothing, but it is the result of the study, "
            f"{HERE}.report.arm."
        )
    jobs = sum(len(cells(config, name)) for name in config["run"])
    check_size(jobs, JOBS, "cells of all arms", f"{HERE}.run", "ask for fewer")
    units = len(cells(config, arm)) * config["runs"]
    check_size(units, UNITS, "runs of the result arm", f"{HERE}.runs", "ask for fewer")


def _check_run(where: str, arm: str, limits: dict, config: dict) -> None:
    if not cells(config, arm):
        return
    if "trainer" not in config["arms"][arm]:
        raise ConfigError(f"Config: {where} is to train cells, but the arm has no trainer.")
    for key in ("representations", "layers"):
        for value in limits.get(key, []):
            check_member(value, config[key], f"{where}.{key}")
    if limits.get("runs", 0) > config["runs"]:
        raise ConfigError(f"Config: {where}.runs is {limits['runs']}, more than runs.")


def _check_workload(where: str, workload: dict, config: dict) -> None:
    work = workload["work"]
    stage = STAGES_OF_WORK[work]
    check_work(workload, KEYS_OF_WORK, where)
    for key in KEYS_OF_OTHERS.get(work, ()):
        if key in workload:
            raise ConfigError(f"Config: {where}.{key} is no key of the work {work}; take it out.")
    if workload["repeats"]:
        check_member(workload["where"], [*prepared_stages(config), "train"], f"{where}.where")
    for name in workload["contestants"]:
        arm = config["measure"]["contestants"][name]["arm"]
        if stage not in config["arms"][arm]:
            raise ConfigError(f"Config: {where} measures {name}, but the arm {arm} has no {stage}.")
        if work in ARMS_OF_WORK:
            check_member(arm, ARMS_OF_WORK[work], f"{where}: an arm of the work {work}")
    check_rounds(where, workload, len(workload.get("representations", ())) or 2)
    # The work `total` makes its features itself.
    known = REPRESENTATIONS if work == "total" else config["representations"]
    for name in workload["representations"] if stage == "trainer" else ():
        check_member(name, known, f"{where}.representations")
