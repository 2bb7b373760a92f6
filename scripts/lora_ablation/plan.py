"""What `measure` runs for this study: the workloads, their units and their contestants."""

from itertools import pairwise

from scripts.lora_ablation.design import columns, families, generated, training_job


def blocks(workload: dict, round_: int) -> list[list]:
    """Units [work, first, stop] of a round over adapters, which are its own.

    Features come in two halves, so that two workers can share; loading is one block, because its
    cost per adapter depends on the number at once.
    """
    size = workload["adapters"]
    start, parts = round_ * size, 2 if workload["work"] == "features" else 1
    cuts = [start + size * part // parts for part in range(parts + 1)]
    return [[workload["work"], *block] for block in pairwise(cuts)]


def round_units(workload: dict, round_: int) -> list[list]:
    """Units of one round: adapters, matrices, or the run of that number of each cell."""
    if "adapters" in workload and workload["work"] != "total":
        return blocks(workload, round_)
    if "matrices" in workload:
        return [[workload["work"], round_]]
    return [["train", name, "all", 100, round_] for name in workload["representations"]]


def contestant(config: dict, seed: int, name: str, workload: dict) -> dict:
    """A contestant of a workload with the specification of its job."""
    measure = config["measure"]
    entry = measure["contestants"][name]
    arm = config["arms"][entry["arm"]]
    spec = {"arm": entry["arm"], "work": workload["work"], "seed": seed}
    spec |= {way: arm[way] for way in ("load", "features") if way in arm}
    spec |= {key: workload[key] for key in ("rank", "matrices", "adapters") if key in workload}
    if workload["work"] == "features":
        spec["source"] = generated(workload["adapters"] * (workload["repeats"] + 1))
    if "trainer" in arm:
        changes = {key: workload[key] for key in ("max_epochs",) if key in workload}
        job = training_job(config, seed, entry["arm"], "", "all", 100, **changes)
        spec |= {key: job[key] for key in ("trainer", "tensors", "train")}
        spec["columns"] = {name: columns(name) for name in workload.get("representations", [])}
    return {
        "contestant": name,
        "arm": entry["arm"],
        "workers": measure["workers"] if entry.get("parallel") else 1,
        "threads": entry.get("threads", 1),
        "spec": spec,
    }


def measurement_plan(config: dict, seed: int) -> list[dict]:
    """What `measure` runs, by workload: the units of each round, and the contestants in turn."""
    return [
        {
            "workload": name,
            "where": workload["where"],
            "trace_memory": False,
            "rounds": [round_units(workload, r) for r in range(workload["repeats"] + 1)]
            if workload["repeats"]
            else [],
            "contestants": [contestant(config, seed, c, workload) for c in workload["contestants"]],
        }
        for name, workload in config["measure"]["workloads"].items()
    ]


def measured_families(config: dict) -> list[str]:
    """Families whose files the measured training needs."""
    names = [
        n for w in config["measure"]["workloads"].values() for n in w.get("representations", [])
    ]
    return list(dict.fromkeys(family for name in names for family in families(name)))


def nested_adapters(config: dict) -> int:
    """Adapters that the measured data set needs: fresh ones for every round of `load`."""
    loads = [w for w in config["measure"]["workloads"].values() if w["work"] in ("load", "total")]
    return max((w["adapters"] * (w["repeats"] + 1) for w in loads), default=1)
