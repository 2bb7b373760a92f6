"""What config/deep_gpcm.yaml must hold beyond what its schema says."""

from scripts.deep_gpcm.data.sources import SOURCE_KEYS
from scripts.deep_gpcm.jobs import (
    AXES,
    DEFAULTS,
    METRICS,
    PHASES,
    active,
    cells,
    fold_count,
    measured_data,
)
from scripts.lib.config import check_config, check_keys, check_member, check_size, check_work
from scripts.lib.contract import check_contract, check_rounds
from scripts.lib.faults import ConfigError

KEYS_OF_WORK = {"step": ("steps",), "loading": (), "inference": (), "folds": ("epochs",)}
# Jobs and files of folds whose names stand together, up to four times, on one command line.
FILES = 400


def check_deep_gpcm(config: dict) -> None:
    """Raise ConfigError with one sentence for the first fault of the section."""
    check_config(config, "deep_gpcm.schema.yaml", at="deep_gpcm")
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
    values = {"data": active(config), "fold": list(range(fold_count(config)))}
    check_contract(here, config, AXES, METRICS, PHASES, values)
    for arm, limits in config["run"].items():
        check_member(arm, arms, f"{here}.run: arm")
        for name in limits.get("data", []):
            check_member(name, sources, f"{here}.run.{arm}.data")
        if limits.get("folds", 0) > (config["folds"] or 1):
            raise ConfigError(
                f"Config: {here}.run.{arm}.folds is {limits['folds']}, more than folds."
            )
    _check_result(here, config)
    _check_sizes(here, config)
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


def _check_sizes(here: str, config: dict) -> None:
    jobs = sum(
        -(-count // limits.get("block", config["block"]))
        for arm, limits in config["run"].items()
        for count in cells(config, arm).values()
    )
    check_size(jobs, FILES, "jobs", f"{here}.run", "ask for fewer folds or use larger blocks")
    files = fold_count(config) * max(1, len(measured_data(config)))
    check_size(files, 2 * FILES, "files of folds to measure on", f"{here}.folds", "ask for fewer")


def _check_workload(where: str, workload: dict, config: dict) -> None:
    for name in workload["contestants"]:
        arm = config["measure"]["contestants"][name]["arm"]
        if "evaluation" not in config["arms"][arm]:
            raise ConfigError(f"Config: {where} measures {name}, but the arm {arm} trains nothing.")
    check_work(workload, KEYS_OF_WORK, where)
    check_rounds(where, workload, fold_count(config) if workload["work"] == "folds" else 1)
