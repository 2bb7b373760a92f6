"""Names in config/deep_gpcm.yaml that must exist elsewhere in it: beyond what a schema says."""

from scripts.deep_gpcm.design import DEFAULTS, active, cells
from scripts.deep_gpcm.sequences.sources import SOURCE_KEYS
from scripts.lib.config import ConfigError, check_contract, check_keys, check_member


def check_deep_gpcm(config: dict) -> None:
    """Raise ConfigError with one sentence if names or counts contradict each other."""
    here, arms, sources = "deep_gpcm", config["arms"], config["sources"]
    if config["folds"] == 1:
        raise ConfigError(f"Config: {here}.folds is 1: nobody would train; use 0 or 2.")
    for name in config["data"]:
        check_member(name, sources, f"{here}.data")
    check_member(config["comparison"], sources, f"{here}.comparison")
    for name, source in sources.items():
        _check_source(f"{here}.sources.{name}", source)
    for arm, options in arms.items():
        _check_arm(f"{here}.arms.{arm}", options)
    check_contract(here, config)
    for arm, limits in config["run"].items():
        check_member(arm, arms, f"{here}.run: arm")
        for name in limits.get("data", []):
            check_member(name, sources, f"{here}.run.{arm}.data")
        if limits.get("folds", 0) > (config["folds"] or 1):
            raise ConfigError(
                f"Config: {here}.run.{arm}.folds is {limits['folds']}, more than folds."
            )
    _check_result(here, config)
    for name, workload in config["measure"]["workloads"].items():
        where = f"{here}.measure.workloads.{name}"
        check_member(workload["data"], sources, f"{where}.data")
        check_member(workload["where"], sources, f"{where}.where")
        _check_workload(where, workload, config)


def _check_source(where: str, source: dict) -> None:
    check_keys(source, SOURCE_KEYS, where)
    low, high = source.get("lengths", (1, 2))
    if low >= high:
        raise ConfigError(f"Config: {where}.lengths is [{low}, {high}]; the first must be smaller.")


def _check_arm(where: str, options: dict) -> None:
    if ("evaluation" in options) == ("baseline" in options):
        raise ConfigError(f"Config: {where} must have either an evaluation or a baseline.")
    if "baseline" in options and len(options) > 1:
        raise ConfigError(f"Config: {where} is a baseline, which takes no other key.")
    own = {"stepwise": ("memory", "heads", "inference"), "hoisted": ("heads", "inference")}
    for key in own.get(options.get("evaluation"), ()):
        if options.get(key, DEFAULTS[key]) != DEFAULTS[key]:
            raise ConfigError(
                f"Config: {where}.{key} has no effect on the evaluation {options['evaluation']}; "
                "use tables."
            )


def _check_result(here: str, config: dict) -> None:
    """The result arm runs on all folds: the chapter is about it."""
    arm = config["report"]["arm"]
    if list(cells(config, arm)) != active(config):
        raise ConfigError(f"Config: {here}.run.{arm} must have all data sets: it is report.arm.")


def _check_workload(where: str, workload: dict, config: dict) -> None:
    for name in workload["contestants"]:
        arm = config["measure"]["contestants"][name]["arm"]
        if "evaluation" not in config["arms"][arm]:
            raise ConfigError(f"Config: {where} measures {name}, but the arm {arm} trains nothing.")
    for key, work in (("steps", "step"), ("epochs", "folds")):
        if workload["work"] == work and key not in workload:
            raise ConfigError(f"Config: {where}.{key} is missing; the work {work} needs it.")
