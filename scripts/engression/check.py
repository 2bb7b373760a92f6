"""What config/engression.yaml must hold beyond what its schema says."""

from scripts.engression.design import AXES
from scripts.engression.names import METRICS, PHASES
from scripts.lib.config import JOBS, UNITS, check_config, check_member, check_size
from scripts.lib.contract import check_contract, check_rounds
from scripts.lib.faults import ConfigError

HERE = "engression"


def check_engression(config: dict) -> None:
    """Raise ConfigError with one sentence for the first fault of the section."""
    check_config(config, "engression.schema.yaml", at=HERE)
    values = {"law": config["laws"], "n": config["sizes"]}
    check_contract(HERE, config, AXES, METRICS, PHASES, values)
    for name, arm in config["arms"].items():
        _check_arm(f"engression.arms.{name}", arm, config["net"])
    for arm, limits in config["run"].items():
        where = f"engression.run.{arm}"
        check_member(arm, config["arms"], f"{where}: arm")
        off = limits.get("reps") == 0
        for law in [] if off else limits.get("laws", []):
            check_member(law, config["laws"], f"{where}.laws")
        for size in [] if off else limits.get("sizes", []):
            if size not in config["sizes"]:
                raise ConfigError(f"Config: {where}.sizes has {size}, which is not in sizes.")
    _check_sizes(config)


def _check_sizes(config: dict) -> None:
    """A job is told its units one by one, and blocks are counted before they are made."""
    cells, size = len(config["laws"]) * len(config["sizes"]), config["block"]
    units = cells * min(size, config["reps"])
    check_size(units, UNITS, "units in a job", f"{HERE}.block", "use smaller blocks")
    wanted = [min(chosen.get("reps", JOBS**2), config["reps"]) for chosen in config["run"].values()]
    jobs = sum(-(-reps // size) for reps in wanted)
    check_size(jobs, JOBS, "jobs", f"{HERE}.reps", "ask for fewer or use larger blocks")
    for name, workload in config["measure"]["workloads"].items():
        units = len(workload["laws"]) * len(workload["sizes"])
        check_rounds(f"{HERE}.measure.workloads.{name}", workload, units)


def _check_arm(where: str, arm: dict, net: dict) -> None:
    options = arm.get("train", {})
    if arm["trainer"] in ("pooled", "projected") and "draws_per_point" not in options:
        raise ConfigError(f"Config: {where}.train.draws_per_point is missing.")
    if arm["trainer"] != "projected":
        return
    if net["noise_dim"] < net["hidden"]:
        raise ConfigError(
            f"Config: {where} uses the trainer 'projected', which needs net.noise_dim >= "
            f"net.hidden, got {net['noise_dim']} < {net['hidden']}; use the trainer 'pooled'."
        )
    for key in ("draws_per_point", "early_draws"):
        if options.get("antithetic") and options.get(key, 2) % 2:
            raise ConfigError(
                f"Config: {where}.train.{key} is {options[key]}; "
                "antithetic draws come in pairs, so it must be even."
            )
