"""What a stage costs per adapter or step, and what a larger data set would cost on one core."""

import pandas as pd

TRAIN_SHARE = 0.7


def per_unit(measured: pd.DataFrame, workload: str, counter: str, order: list[str]) -> pd.Series:
    """Median seconds of work per counted unit, by contestant in this order."""
    rows = measured[measured["workload"] == workload]
    cost = (rows["fit_s"] / rows[counter]).groupby(rows["contestant"]).median()
    return cost[[name for name in order if name in cost]]


def stages(measured: pd.DataFrame, runs: pd.DataFrame, spec: dict) -> list[dict]:
    """A row per stage, contestant and number of adapters: modelled seconds on one core.

    Model: load and features are linear in the adapters; training is the measured seconds per step
    times steps per epoch, the epochs of this run's result arm, cells and runs.
    """
    trained = runs[(runs["arm"] == spec["arm"]) & (runs["stage"] == "train")]
    epochs = trained["n_epochs"].mean()
    rows = []
    for stage, counter in (
        ("load", "n_adapters"),
        ("features", "n_adapters"),
        ("train", "n_steps"),
    ):
        if counter not in measured:  # no workload with this work
            continue
        for name, cost in per_unit(measured, stage, counter, spec["contestants"]).items():
            for adapters in spec["adapters"]:
                times = adapters
                if stage == "load" and not name.startswith(spec["arm"]):
                    times *= spec["passes"]
                if stage == "train":
                    steps = TRAIN_SHARE * adapters / spec["batch"]
                    times = steps * epochs * spec["cells"] * spec["runs"]
                row = {"stage": stage, "contestant": name, "per": counter, "cost_ms": 1000 * cost}
                rows.append(row | {"adapters": adapters, "model_s": cost * times})
    return rows
