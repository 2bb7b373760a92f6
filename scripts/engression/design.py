"""Which units there are, which job computes which, and all that a job needs to know."""

from itertools import product

from scripts.lib.blocks import cut

AXES = ["law", "n", "rep"]


def blocks(reps: int, size: int) -> dict[str, list[int]]:
    """Replications by block name, e.g. {"reps-000-004": [0, 1, 2, 3, 4], ...}.

    A block is a fixed range of replications, so raising `reps` leaves full blocks alone.
    """
    return {f"reps-{r[0]:03d}-{r[-1]:03d}": list(r) for r in cut(range(reps), size)}


def all_units(config: dict, reps: list[int]) -> list[list]:
    """[law, n, rep] of every unit of the study among these replications."""
    return [list(unit) for unit in product(config["laws"], config["sizes"], reps)]


def units(config: dict, arm: str, reps: list[int]) -> list[list]:
    """[law, n, rep] of an arm's units among these replications, limited as `run` says."""
    chosen = config["run"].get(arm)
    if chosen is None:
        return []
    laws = chosen.get("laws", config["laws"])
    sizes = chosen.get("sizes", config["sizes"])
    wanted = [rep for rep in reps if rep < chosen.get("reps", config["reps"])]
    return [list(unit) for unit in product(laws, sizes, wanted)]


def arm_blocks(config: dict) -> list[tuple[str, str]]:
    """(arm, block) of every job that has at least one unit, in the order of `run`."""
    by_name = blocks(config["reps"], config["block"])
    return [
        (arm, block)
        for arm in config["run"]
        for block in by_name
        if units(config, arm, by_name[block])
    ]


def training_job(config: dict, seed: int, arm: str, chosen: list[list], **changes) -> dict:
    """Specification of one training job: everything that can change its numbers.

    `changes` overrides keys of `train` (a measured workload may shorten the training).
    """
    options = config["arms"][arm]
    return {
        "arm": arm,
        "trainer": options["trainer"],
        "seed": seed,
        "net": config["net"],
        "train": config["train"] | options.get("train", {}) | changes,
        "eval": config["eval"],
        "units": chosen,
    }


def block_job(config: dict, seed: int, arm: str, block: str) -> dict:
    """Specification of the job that trains one arm on one block."""
    reps = blocks(config["reps"], config["block"])[block]
    return training_job(config, seed, arm, units(config, arm, reps))


def block_samples(config: dict, seed: int, block: str) -> dict:
    """Specification of a data file: the units of a block, or those of the block "measured"."""
    if block == "measured":
        return {"seed": seed, "units": measured_units(config)}
    reps = blocks(config["reps"], config["block"])[block]
    return {"seed": seed, "units": all_units(config, reps)}


def round_units(workload: dict) -> list[list[list]]:
    """Units of each round of a measured workload, the warm-up first; no rounds if no repeats.

    Round r trains replication r of the workload's laws and sizes: fresh inputs for every round,
    the same for all contestants.
    """
    rounds = range(workload["repeats"] + 1) if workload["repeats"] else ()
    cells = list(product(workload["laws"], workload["sizes"]))
    return [[[law, n, round_] for law, n in cells] for round_ in rounds]


def measured_job(config: dict, seed: int, arm: str, workload: dict) -> dict:
    """Specification of an arm's job in a measured workload."""
    return training_job(config, seed, arm, [], max_epochs=workload["max_epochs"])


def measured_units(config: dict) -> list[list]:
    """Every unit that the measurement trains."""
    workloads = config["measure"]["workloads"].values()
    trained = {tuple(u) for w in workloads for units in round_units(w) for u in units}
    return [list(unit) for unit in sorted(trained)]
