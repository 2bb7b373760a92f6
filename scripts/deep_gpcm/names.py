"""What the rows of this study hold, for the configuration to name: metrics and phases."""

PHASES = ["prepare", "data", "forward", "backward", "optimizer", "validate", "predict"]
# number: may be averaged; list: compared entry by entry; see CONTRIBUTING for the other kinds.
METRICS = dict.fromkeys(
    [
        *("best_epoch", "n_epochs", "n_steps", "n_answers", "n_train", "n_test", "n_parameters"),
        *("nll", "qwk", "accuracy", "ordinal_accuracy", "mae", "rmse", "kendall_tau", "ece"),
        *("confidence", "log_likelihood", "iterations", "evaluations", "gradient"),
    ],
    "number",
) | {"early_losses": "list"}
