"""What `measure` runs for this study: units of the workloads, jobs of the contestants."""

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


def rounds(workload: dict) -> list[list[list]]:
    """Units of each round, the warm-up first; no rounds if no repeats."""
    counted = range(workload["repeats"] + 1) if workload["repeats"] else ()
    return [round_units(workload, round_) for round_ in counted]


def measured_job(config: dict, seed: int, arm: str, workload: dict) -> dict:
    """Specification of an arm's job in a measured workload."""
    options = config["arms"][arm]
    spec = {"arm": arm, "work": workload["work"], "seed": seed}
    spec |= {way: options[way] for way in ("load", "features") if way in options}
    spec |= {key: workload[key] for key in ("rank", "matrices", "adapters") if key in workload}
    if workload["work"] == "features":
        spec["source"] = generated(workload["adapters"] * (workload["repeats"] + 1))
    if "trainer" in options:
        changes = {key: workload[key] for key in ("max_epochs",) if key in workload}
        job = training_job(config, seed, arm, [("", "all", 100)], **changes)
        spec |= {key: job[key] for key in ("trainer", "train")}
        spec["tensors"] = job["cells"][0]["tensors"]
        spec["columns"] = {name: columns(name) for name in workload.get("representations", [])}
    return spec


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
