"""Load some generated adapters and compute their features by one arm: runs/{arm}/prepare.parquet.

One row an adapter of the stage `load` (metric `checksum`: 52 bits of the SHA-256 of its tensors),
and one a representation and adapter of the stages `features_r<rank>` (metric `deviation`: largest
difference to the reference in float64, in units of the tolerance of the number), on one tensor of
each shape.
"""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from datasets import load_from_disk

from scripts.lib.seeds import seed63, stream
from scripts.lib.stage import arguments
from scripts.lib.tables import write_runs
from scripts.lib.timing import Phases
from scripts.lora_ablation.data.access import LOADERS, save_nested
from scripts.lora_ablation.data.sources import read
from scripts.lora_ablation.representations import reference
from scripts.lora_ablation.representations.catalogue import REPRESENTATIONS, deviation
from scripts.lora_ablation.representations.union import FEATURES


def row(spec: dict, unit: list, phases: Phases, **metrics) -> dict:
    """A run row of this job; its cost is that of the last lap."""
    labels = {"study": "lora_ablation", "arm": spec["arm"]}
    labels |= dict(zip(spec["axes"], unit, strict=True))
    seed = seed63(stream(spec["seed"], "lora_ablation", *unit))
    ran = {"seed": seed, "status": "ok", "threads": torch.get_num_threads(), "device": "cpu"}
    return labels | ran | metrics | phases.columns()


def loaded(spec: dict) -> Iterator[dict]:
    """Rows of the stage `load`."""
    adapters = range(spec["adapters"])
    shard = read(spec["source"] | {"rank": 1}, spec["seed"], 0, len(adapters))
    with TemporaryDirectory() as folder:
        save_nested(shard.matrix, shard.layout, shard.labels, folder)
        dataset = load_from_disk(folder)
        for i in adapters:
            phases = Phases()
            matrix = LOADERS[spec["load"]](dataset, shard.layout, range(i, i + 1))
            phases.lap("load")
            checksum = int(sha256(matrix).hexdigest()[:13], 16)
            yield row(spec, ["load", "tensors", "all", 100, i], phases, checksum=checksum)


def sigma_error(computed: np.ndarray, truth: np.ndarray) -> float:
    """Largest relative error of the ten leading singular values, where the true one is not 0."""
    values, true = (x.reshape(-1, 32)[:, :10].astype(float) for x in (computed, truth))
    there = true > 1e-6 * true[:, :1]
    return float((np.abs(values - true)[there] / true[there]).max())


def featured(spec: dict, rank: int) -> Iterator[dict]:
    """Rows of the stage `features_r<rank>`."""
    shard = read(spec["source"] | {"rank": rank}, spec["seed"], 0, spec["adapters"])
    shapes = shard.layout.shapes
    tensors = [shapes.index(shape) for shape in dict.fromkeys(shapes)]
    for name in spec["representations"]:
        truth = reference.represent(shard.matrix, shard.layout, name, tensors, dtype=torch.float64)
        for i in range(spec["adapters"]):
            phases = Phases()
            one = shard.matrix[i : i + 1]
            (computed,) = FEATURES[spec["features"]](one, shard.layout, [(name, tensors)])
            phases.lap("features")
            away = deviation(computed, truth[i : i + 1], REPRESENTATIONS[name], rank)
            unit = [f"features_r{rank}", name, "all", 100, i]
            metrics = {"deviation": away}
            if name == "spectral":
                metrics["sigma_error"] = sigma_error(computed, truth[i : i + 1])
            yield row(spec, unit, phases, **metrics)


def rows(spec: dict) -> list[dict]:
    """All rows of the job."""
    loads = list(loaded(spec)) if spec["load"] else []
    return loads + [r for rank in spec["ranks"] if spec["features"] for r in featured(spec, rank)]


if __name__ == "__main__":
    args = arguments(runs=Path, threads=int)
    torch.set_num_threads(args.threads)
    write_runs(args.runs, rows(args.spec), args.spec["axes"], spec=args.spec)
