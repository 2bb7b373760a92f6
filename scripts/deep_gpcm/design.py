"""Which folds each arm computes, and all that the job of each needs to know."""

from scripts.lib.blocks import cut

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


def measured(config: dict) -> list[str]:
    """Data sets that workloads read."""
    workloads = config["measure"]["workloads"].values()
    return list(dict.fromkeys(workload["data"] for workload in workloads if workload["repeats"]))


def fold_count(config: dict) -> int:
    """Folds per data set: one for the source's single split."""
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
        (arm, data, number): training_job(config, seed, arm) | {"data": data, "folds": folds}
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


def made(kind: str, jobs: dict, baselines: dict) -> list[str]:
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
