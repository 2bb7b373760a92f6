"""What `measure` runs for this study: units of the workloads, jobs of the contestants."""

from scripts.deep_gpcm.design import fold_count, training_job

# Epochs of the unmeasured round of whole folds, which would take as long as a measured one.
WARM_UP = 1


def rounds(config: dict, workload: dict) -> list[list[list]]:
    """Units [data, fold, number] of each round, the warm-up first; no rounds if no repeats.

    `number` is the epochs of a fold, or else the round, which says which students take part.
    """
    data, count = workload["data"], fold_count(config)
    counted = range(workload["repeats"] + 1) if workload["repeats"] else ()
    if workload["work"] != "folds":
        return [[[data, round_ % count, round_]] for round_ in counted]
    epochs = [workload["epochs"] if round_ else WARM_UP for round_ in counted]
    return [[[data, fold, number] for fold in range(count)] for number in epochs]


def measured_job(config: dict, seed: int, arm: str, workload: dict) -> dict:
    """Specification of an arm's job in a measured workload."""
    return training_job(config, seed, arm) | {
        "work": workload["work"],
        "steps": workload.get("steps", 0),
    }


def data_files(config: dict, names: list[str]) -> list[str]:
    """Files that the measured script reads: items and folds of each data set."""
    folder = "<results>/deep_gpcm"
    return [
        path
        for name in names
        for path in (
            f"{folder}/data/{name}/items.parquet",
            *(f"{folder}/folds/{name}/{fold}.parquet" for fold in range(fold_count(config))),
        )
    ]
