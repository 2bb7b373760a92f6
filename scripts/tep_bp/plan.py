"""What `measure` runs for this study: strata of the search space, jobs of the contestants."""

from scripts.tep_bp.design import FOLDER, gated, training_job


def rounds(config: dict, workload: dict) -> list[list[list]]:
    """Units [hidden, batch, round, number] of each round, the warm-up first; none if no repeats.

    A unit is a trial; every width and batch size has as many, `trials` of the workload.
    """
    space = config["space"]
    strata = [[hidden, batch] for hidden in space["hidden"] for batch in space["batch"]]
    wanted = min(workload.get("strata", len(strata)), len(strata))
    # Spread over the space where not all are wanted.
    chosen = [strata[(2 * i + 1) * len(strata) // (2 * wanted)] for i in range(wanted)]
    counted = range(workload["repeats"] + 1) if workload["repeats"] else ()
    numbers = range(workload["trials"])
    return [
        [[*stratum, round_, number] for stratum in chosen for number in numbers]
        for round_ in counted
    ]


def tasks(config: dict) -> list[str]:
    """Names of the tasks that workloads read."""
    active = [w for w in config["measure"]["workloads"].values() if w["repeats"]]
    return list(dict.fromkeys(workload.get("task", config["task"]) for workload in active))


def data_files(config: dict) -> list[str]:
    """Files that the measured script reads: tasks, and the gate where an arm waits for it."""
    gate = [f"{FOLDER}/gate.json"] if gated(config) else []
    return [f"{FOLDER}/tasks/{name}.npz" for name in tasks(config)] + gate


def measured_job(config: dict, seed: int, arm: str, workload: dict) -> dict:
    """Specification of an arm's job in a measured workload."""
    job = training_job(config, seed, arm, workload["rule"])
    space = config["space"]
    return job | {
        "work": workload["work"],
        "task": workload.get("task", config["task"]),
        "space": space,
        "trials": workload["trials"],
        "train": job["train"] | {"epochs": workload["epochs"]},
    }
