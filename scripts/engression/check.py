"""Names in config/engression.yaml that must exist elsewhere in it: beyond what a schema can say."""

from scripts.lib.config import ConfigError, check_contract, check_member


def check_engression(config: dict) -> None:
    """Raise ConfigError with one sentence if names or counts contradict each other."""
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
    check_contract("engression", config)


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
