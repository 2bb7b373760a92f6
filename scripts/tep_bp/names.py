"""What the rows of this study hold, for the configuration to name: metrics and phases."""

from scripts.tep_bp.design import stages

PHASES = ["data", "free", "nudged", "update", "evaluate", "compile"]
# number: may be averaged; list: compared entry by entry; label: what the unit is, no result of it.
METRICS = (
    dict.fromkeys(
        [
            *("val_accuracy", "val_loss", "test_accuracy", "diverged_epoch"),
            *("residual_free", "residual_free_max", "residual_nudged", "nudged_bound"),
            *("spectral_norm", "gradient_cosine", "n_parameters", "n_steps", "flops"),
            *("n_iterations", "free_iterations", "nudged_iterations"),
        ],
        "number",
    )
    | dict.fromkeys(["curve", "early_losses", "hits"], "list")
    | dict.fromkeys(
        [
            *("hidden", "batch", "lr", "weight_decay", "activation", "beta", "solver", "epochs"),
            *("parameter_hash", "chosen", "rank", "repeat"),
        ],
        "label",
    )
)


def values(config: dict) -> dict[str, list]:
    """Values of the axes that the configuration tells beforehand."""
    # The stage `search` is that of the arms that train a sample, whatever the mode.
    found = dict.fromkeys(["search", *(stage for stage, _, _ in stages(config)), "repeat"])
    return {"stage": list(found), "rule": config["search"]["rules"]}
