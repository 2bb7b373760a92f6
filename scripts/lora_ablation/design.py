"""Which shards, cells and runs there are, and all that the job of each needs to know."""

from scripts.lib.blocks import cut
from scripts.lora_ablation.adapters.sources import fingerprints
from scripts.lora_ablation.representations.catalogue import (
    FAMILIES,
    PAIR_FAMILIES,
    REPRESENTATIONS,
)

WEIGHTS = "flat_vec"  # the representation that is the tensor store itself


def shards(config: dict, adapters: int) -> dict[str, tuple[int, int]]:
    """Rows [start, stop) by shard name, e.g. {"adapters-000000-000499": (0, 500), ...}.

    A shard is a fixed range of rows, so adding adapters leaves full shards alone.
    """
    parts = cut(range(adapters), config["shard"])
    return {f"adapters-{rows[0]:06d}-{rows[-1]:06d}": (rows.start, rows.stop) for rows in parts}


def load_jobs(config: dict, seed: int, adapters: int) -> dict[str, dict]:
    """Specification of the job that reads each shard, by its name.

    Adapters to generate are told up to the shard's last only, so adding some leaves full shards
    alone; `read_from` changes with the files that the shard is read from.
    """
    source = config["sources"][config["source"]]
    ranges = shards(config, adapters)
    digests = fingerprints(source, list(ranges.values()))
    made = source["kind"] == "generated"
    return {
        name: {
            "source": source | ({"adapters": stop} if made else {}),
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
    found = [
        (representation, layers, 100)
        for representation in chosen.get("representations", config["representations"])
        for layers in chosen.get("layers", config["layers"])
    ]
    if arm == config["report"]["arm"]:
        curves = config["curves"]
        found += [(name, "all", s) for name in curves["representations"] for s in curves["shares"]]
    return found


def jobs(config: dict, seed: int) -> dict[tuple[str, str], dict]:
    """Specification of every training job by (arm, name of its files), in the order of `run`.

    A job trains up to `block` cells of one representation, so it reads that one's families only.
    """
    found = {}
    for arm in config["run"]:
        by_representation: dict[str, list] = {}
        for cell in cells(config, arm):
            by_representation.setdefault(cell[0], []).append(cell)
        for name, chosen in by_representation.items():
            for number, part in enumerate(cut(chosen, config["block"])):
                found[arm, f"{name}-{number}"] = training_job(config, seed, arm, part)
    return found


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
    """A source of generated adapters for comparisons that are not about the user's data."""
    signal = {"attn1": 0.05, "attn2": 0.06, "leaf": 0.5}
    return {"kind": "generated", "adapters": adapters, "rank": 1, "signal": signal}


def feature_files(job: dict) -> list[str]:
    """Patterns of the files that a training job reads, with a wildcard for the shard."""
    folder = "<results>/lora_ablation"
    names = dict.fromkeys(family for family, _, _ in job["columns"])
    found = [f"{folder}/features/{family}/{{shard}}.parquet" for family in names]
    return found or [f"{folder}/tensors/{{shard}}.npy"]


def prepare_job(config: dict, seed: int, arm: str) -> dict:
    """Specification of the job that loads and computes features of some adapters by one arm."""
    options = config["arms"][arm]
    return {
        "arm": arm,
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
    """Specification of the tables of cost: the source's amount of work, and whom to show."""
    compare, arms = config["measure"]["compare"], config["arms"]
    return {
        "arm": config["report"]["arm"],
        "baseline": compare["baseline"],
        "contestants": list(config["measure"]["contestants"]),
        "adapters": [1_000, 10_000, 100_000],
        "batch": config["train"]["batch"],
        "runs": config["runs"],
        "cells": 18,  # nine representations, all and visual
        "passes": 13.5,  # the source reads 9 times all tensors and 9 times half of them
        "repairs": [arm for arm in arms if arm.startswith("legacy_")],
    }
