"""The jobs of this study: units and columns of a row, what each job computes, what is measured."""

from scripts.lib.blocks import cut

# The columns that name a unit.
AXES = ["data", "fold"]
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
# Tables of the chapter.
CHAPTER = (
    *("scores", "recovery", "calibration", "confusion", "convergence", "categories", "learning"),
    "ladder",
)
# What an arm that trains a network does where its entry in `arms` is silent.
DEFAULTS = {
    "memory": "loop",
    "heads": "eager",
    "loader": "resident",
    "step": "fused",
    "inference": "eager",
}


def active(config: dict) -> list[str]:
    """Data sets that are studied or compared on."""
    return list(dict.fromkeys([*config["data"], config["comparison"]]))


def measured_data(config: dict) -> list[str]:
    """Data sets that workloads read."""
    workloads = config["measure"]["workloads"].values()
    return list(dict.fromkeys(workload["data"] for workload in workloads if workload["repeats"]))


def fold_count(config: dict) -> int:
    """Folds per data set: one for the original's single split."""
    return config["folds"] or 1


def has_truth(source: dict) -> bool:
    """Whether true parameters come with a data set."""
    return source["kind"] == "generated" or "truth" in source


def cells(config: dict, arm: str) -> dict[str, int]:
    """Data sets that an arm runs on, with the number of their first folds that it computes."""
    chosen, options = config["run"].get(arm, {"folds": 0}), config["arms"][arm]
    count = min(chosen.get("folds", fold_count(config)), fold_count(config))
    names = chosen.get("data", active(config))
    if options.get("baseline") in ("bayes", "oracle"):
        names = [name for name in names if has_truth(config["sources"][name])]
    return {name: count for name in active(config) if name in names and count}


def training_job(config: dict, seed: int, arm: str) -> dict:
    """What an arm does, without its unit."""
    options = config["arms"][arm]
    return {
        **DEFAULTS,
        **{key: options[key] for key in ("evaluation", *DEFAULTS) if key in options},
        "arm": arm,
        "seed": seed,
        "model": config["model"] | options.get("model", {}),
        "train": config["train"] | options.get("train", {}),
    }


def training_jobs(config: dict, seed: int) -> dict[tuple[str, str, int], dict]:
    """Specification of each training job by (arm, data, block): some folds of a data set."""
    return {
        (arm, data, number): training_job(config, seed, arm)
        | {"units": [[data, fold] for fold in folds]}
        for arm in config["run"]
        if "evaluation" in config["arms"][arm]
        for data, count in cells(config, arm).items()
        for number, folds in enumerate(
            cut(list(range(count)), config["run"][arm].get("block", config["block"]))
        )
    }


def baseline_jobs(config: dict, seed: int) -> dict[tuple[str, str], dict]:
    """Specification of each baseline's job by (arm, data): all its folds."""
    return {
        (arm, data): {
            "arm": arm,
            "baseline": config["arms"][arm]["baseline"],
            "seed": seed,
            "data": data,
            "folds": list(range(count)),
        }
        for arm in config["run"]
        if "baseline" in config["arms"][arm]
        for data, count in cells(config, arm).items()
    }


def files(kind: str, jobs: dict, baselines: dict) -> list[str]:
    """Files of one kind that training jobs and, for three kinds, baselines write."""
    folder = f"<results>/deep_gpcm/{kind}"
    found = [f"{folder}/{arm}/{data}-{block}.parquet" for arm, data, block in jobs]
    if kind in ("runs", "predictions", "estimates"):
        found += [f"{folder}/{arm}/{data}.parquet" for arm, data in baselines]
    return found


def tables_job(config: dict) -> dict:
    """Specification of the tables: whom they are about."""
    return {
        "arm": config["report"]["arm"],
        "classical": "gpcm",
        "ceiling": "bayes",
        "data": active(config),
    }


def ladder_job(config: dict) -> dict:
    """Specification of the ladder: workloads of single steps, contestants in their order."""
    measure = config["measure"]
    steps = [n for n, w in measure["workloads"].items() if w["work"] == "step" and w["repeats"]]
    return {
        "baseline": measure["compare"]["baseline"],
        "contestants": list(measure["contestants"]),
        "steps": steps,
    }


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
