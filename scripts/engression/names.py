"""What the rows of this study hold, for the configuration to name: metrics and phases."""

PHASES = ["data", "noise", "forward", "loss", "backward", "optimizer", "bookkeeping", "eval"]
# number: may be averaged; flag: 0 or 1, a share; see CONTRIBUTING for the other kinds.
METRICS = dict.fromkeys(
    [
        *("n_epochs", "n_steps", "noise_rows"),
        *("final_loss", "final_term1", "final_term2", "best_loss", "early_loss"),
        *("mmd", "mmd2_u", "ks", "ks_p", "mean_distance", "cov_frobenius", "cov_trace"),
        *("energy_dist_test", "excess_loss", "w1_test"),
        *("q01_error", "q05_error", "q50_error", "q95_error", "q99_error"),
    ],
    "number",
) | dict.fromkeys(["hit_cap", "ks_reject"], "flag")
