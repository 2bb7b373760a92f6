"""What this study is made of: axes, metrics and phases of its rows, and the job of every file.

A job's specification has all that its stage needs and all that can change a number, the axes too:
stages do not import this module, so that an edit of one job leaves the results of the others alone.
"""

from itertools import pairwise

from scripts.lib.blocks import cut
from scripts.lora_ablation.data.sources import fingerprints
from scripts.lora_ablation.data.split import PARTS
from scripts.lora_ablation.representations.catalogue import (
    FAMILIES,
    PAIR_FAMILIES,
    REPRESENTATIONS,
)

# The columns that name a unit.
AXES = ["stage", "representation", "layers", "share", "run"]
PHASES = ["load", "features", "prepare", "data", "gradient", "optimizer", "validate", "eval"]
PHASES += ["train"]  # of the work `total`
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
WEIGHTS = "flat_vec"  # the representation that is the tensor store itself


def axis_values(config: dict) -> dict[str, list]:
    """Values of the axes that the configuration states beforehand."""
    return {
        "stage": [*prepared_stages(config), "train"],
        "layers": config["layers"],
        "share": [100, *config["curves"]["shares"]],
    }


def prepared_stages(config: dict) -> list[str]:
    """Stages at which the arms of `prepare` are compared."""
    return ["load", *(f"features_r{rank}" for rank in config["prepare"]["ranks"])]


def shards(config: dict, adapters: int) -> dict[str, tuple[int, int]]:
    """Rows [start, stop) by shard name, e.g. {"adapters-000000-000499": (0, 500), ...}.

    A shard is a fixed range of rows, so adding adapters leaves full shards alone.
    """
    parts = cut(range(adapters), config["shard"])
    return {f"adapters-{rows[0]:06d}-{rows[-1]:06d}": (rows.start, rows.stop) for rows in parts}


def load_jobs(config: dict, seed: int, adapters: int) -> dict[str, dict]:
    """Specification of the job that reads each shard, by its name.

    Of generated adapters only those up to the shard's last are stated, so adding some leaves full
    shards alone; `read_from` changes with the files that the shard is read from.
    """
    source = config["sources"][config["source"]]
    ranges = shards(config, adapters)
    digests = fingerprints(source, list(ranges.values()))
    generates = source["kind"] == "generated"
    return {
        name: {
            "source": source | ({"adapters": stop} if generates else {}),
            "read_from": read_from,
            "seed": seed,
            "start": start,
            "stop": stop,
        }
        for (name, (start, stop)), read_from in zip(ranges.items(), digests, strict=True)
    }


def cells(config: dict, arm: str) -> list[tuple[str, str, int]]:
    """(representation, layers, share) of every cell of an arm, limited as `run` says."""
    chosen = config["run"].get(arm, {"runs": 0})
    if chosen.get("runs", config["runs"]) < 1:
        return []
    grid = [
        (representation, layers, 100)
        for representation in chosen.get("representations", config["representations"])
        for layers in chosen.get("layers", config["layers"])
    ]
    if arm == config["report"]["arm"]:
        curves = config["curves"]
        grid += [(name, "all", s) for name in curves["representations"] for s in curves["shares"]]
    return grid


def training_jobs(config: dict, seed: int) -> dict[tuple[str, str], dict]:
    """Specification of every training job by (arm, name of its files), in the order of `run`.

    A job trains up to `block` cells of one representation, so it reads that one's families only.
    """
    jobs = {}
    for arm in config["run"]:
        by_representation: dict[str, list] = {}
        for cell in cells(config, arm):
            by_representation.setdefault(cell[0], []).append(cell)
        for name, chosen in by_representation.items():
            for number, part in enumerate(cut(chosen, config["block"])):
                jobs[arm, f"{name}-{number}"] = training_job(config, seed, arm, part)
    return jobs


def columns(representation: str) -> list[list]:
    """[family, number, position in the family] of each number of a representation."""
    families = FAMILIES | PAIR_FAMILIES
    return [
        [family, number, families[family].index(number)]
        for family, number in REPRESENTATIONS.get(representation, [])
    ]


def families(representation: str) -> list[str]:
    """Families that a representation takes numbers from, in their order of appearance."""
    return list(dict.fromkeys(family for family, _, _ in columns(representation)))


def family_job(family: str) -> dict:
    """Specification of the job that computes one family on one shard."""
    names = (FAMILIES | PAIR_FAMILIES)[family]
    return {"family": family, "k": len(names), "names": names, "pairs": family in PAIR_FAMILIES}


def training_job(
    config: dict, seed: int, arm: str, chosen: list[tuple[str, str, int]], **changes
) -> dict:
    """Specification of the job of some cells of one representation: all that can change a number.

    `changes` overrides options of `train` (a measured workload shortens the training).
    """
    options = config["arms"][arm]
    runs = config["run"].get(arm, {}).get("runs", config["runs"])
    return {
        "arm": arm,
        "trainer": options["trainer"],
        "axes": AXES,
        "seed": seed,
        "columns": columns(chosen[0][0]),
        "train": config["train"] | options.get("train", {}) | changes,
        "cells": [
            {
                "tensors": options.get("layers", layers),
                "units": [["train", representation, layers, share, run] for run in range(runs)],
            }
            for representation, layers, share in chosen
        ],
    }


def generated(adapters: int) -> dict:
    """A data source of generated adapters, for comparisons that are not about the user's data."""
    signal = {"attn1": 0.05, "attn2": 0.06, "leaf": 0.5}
    return {"kind": "generated", "adapters": adapters, "rank": 1, "signal": signal}


def feature_files(job: dict) -> list[str]:
    """Patterns of the files that a training job reads, with a wildcard for the shard."""
    folder = "<results>/lora_ablation"
    names = dict.fromkeys(family for family, _, _ in job["columns"])
    files = [f"{folder}/features/{family}/{{shard}}.parquet" for family in names]
    return files or [f"{folder}/tensors/{{shard}}.npy"]


def prepare_job(config: dict, seed: int, arm: str) -> dict:
    """Specification of the job that loads and computes features of some adapters by one arm."""
    options = config["arms"][arm]
    return {
        "arm": arm,
        "axes": AXES,
        "seed": seed,
        "load": options.get("load"),
        "features": options.get("features"),
        "source": generated(config["prepare"]["adapters"]),
        "adapters": config["prepare"]["adapters"],
        "ranks": config["prepare"]["ranks"],
        "representations": [name for name in REPRESENTATIONS if name != "product"],
    }


def expected(config: dict) -> list[list]:
    """[representation, layers, share, run] of every run of the result arm."""
    return [[*cell, run] for cell in cells(config, config["report"]["arm"])
            for run in range(config["runs"])]  # fmt: skip


def costs_job(config: dict) -> dict:
    """Specification of the tables of cost: the original's amount of work, and whom to show."""
    compare, arms = config["measure"]["compare"], config["arms"]
    return {
        "arm": config["report"]["arm"],
        "baseline": compare["baseline"],
        "contestants": list(config["measure"]["contestants"]),
        "adapters": [1_000, 10_000, 100_000],
        "batch": config["train"]["batch"],
        "runs": config["runs"],
        "cells": 18,  # nine representations, all and visual
        "passes": 13.5,  # the original reads 9 times all tensors and 9 times half of them
        "repairs": [arm for arm in arms if arm.startswith("legacy_")],
    }


def adapter_blocks(workload: dict, round_: int) -> list[list]:
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
        return adapter_blocks(workload, round_)
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
        spec |= {key: job[key] for key in ("trainer", "train", "axes")}
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
