"""What the rows of this study hold, for the configuration to name: metrics and phases."""

PHASES = ["load", "features", "prepare", "data", "gradient", "optimizer", "validate", "eval"]
PHASES += ["train"]  # of the work `total`
PARTS = ("train", "val", "test")
# number: may be averaged; flag: 0 or 1, a share; see CONTRIBUTING for the other kinds.
METRICS = dict.fromkeys(
    [
        *("n_epochs", "n_steps", "best_epoch", "n_features", "n_kept", "n_parameters"),
        *(f"n_{part}" for part in PARTS),
        *(f"{part}_{name}" for part in PARTS for name in ("accuracy", "f1", "precision", "recall")),
        *("test_error", "early_loss", "checksum", "deviation", "sigma_error"),
    ],
    "number",
) | {"hit_cap": "flag"}


def values(config: dict) -> dict[str, list]:
    """Values of the axes that the configuration tells beforehand."""
    return {
        "stage": [*stages(config), "train"],
        "layers": config["layers"],
        "share": [100, *config["curves"]["shares"]],
    }


def stages(config: dict) -> list[str]:
    """Stages at which the arms of `prepare` are compared."""
    return ["load", *(f"features_r{rank}" for rank in config["prepare"]["ranks"])]
