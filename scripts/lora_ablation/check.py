"""Names in config/lora_ablation.yaml that must exist elsewhere in it: beyond what a schema says."""

from scripts.lib.config import ConfigError, check_contract, check_keys, check_member
from scripts.lora_ablation.design import WEIGHTS, cells
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


def check_lora_ablation(config: dict) -> None:
    """Raise ConfigError with one sentence if names or counts contradict each other."""
    here, arms = "lora_ablation", config["arms"]
    check_member(config["source"], config["sources"], f"{here}.source")
    for name, source in config["sources"].items():
        check_keys(source, SOURCE_KEYS, f"{here}.sources.{name}")
    for name in config["representations"]:
        check_member(name, [*REPRESENTATIONS, WEIGHTS], f"{here}.representations")
    for name in config["curves"]["representations"]:
        check_member(name, config["representations"], f"{here}.curves.representations")
    check_contract(here, config)
    for arm, limits in config["run"].items():
        check_member(arm, arms, f"{here}.run: arm")
        _check_run(f"{here}.run.{arm}", arm, limits, config)
    for arm in config["prepare"]["arms"]:
        check_member(arm, arms, f"{here}.prepare.arms")
        if not {"load", "features"} & set(arms[arm]):
            raise ConfigError(
                f"Config: {here}.prepare.arms has {arm}, which neither loads nor computes features."
            )
    for name, workload in config["measure"]["workloads"].items():
        _check_workload(f"{here}.measure.workloads.{name}", workload, config)


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
    stage = STAGES_OF_WORK[workload["work"]]
    for name in workload["contestants"]:
        arm = config["measure"]["contestants"][name]["arm"]
        if stage not in config["arms"][arm]:
            raise ConfigError(f"Config: {where} measures {name}, but the arm {arm} has no {stage}.")
    if workload["work"] in ("scaler", "train"):
        for name in workload["representations"]:
            check_member(name, config["representations"], f"{where}.representations")
