"""What the rows of this study hold, for the configuration to name: axes, phases and metrics.

Apart from jobs.py, at whose edits no trial should train again: the training stage reads this one.
"""

AXES = ["stage", "rule", "trial"]  # name a unit, a trial
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
