"""Load some generated adapters and compute their features by one arm: runs/{arm}/prepare.parquet.

One row an adapter of the stage `load` (metric `checksum`: 52 bits of the SHA-256 of its tensors),
and one a representation and adapter of the stages `features_r<rank>` (metric `deviation`: largest
difference to the reference in float64, in units of the tolerance of the number), on one tensor of
each shape.
"""

from collections.abc import Iterator
from hashlib import sha256
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from scripts.lib.run_rows import run_row, write_runs
from scripts.lib.stage import stage
from scripts.lib.timing import Phases
from scripts.lib.training_job import unit_seed
from scripts.lora_ablation.data.layout import Layout
from scripts.lora_ablation.data.sources import read
from scripts.lora_ablation.data.store import Shard
from scripts.lora_ablation.representations.catalogue import REPRESENTATIONS, deviation
from scripts.lora_ablation.representations.original import represent
from scripts.lora_ablation.specs import AXES, PrepareJob
from scripts.lora_ablation.unit import chosen

Row = dict[str, Any]


def row(job: PrepareJob, unit: list, phases: Phases, **metrics: float) -> Row:
    """A run row of this job; its cost is that of the last lap."""
    return run_row(job, AXES, unit, unit_seed(job, unit)) | metrics | phases.columns()


def loaded(job: PrepareJob, units: list[list]) -> Iterator[Row]:
    """Rows of the stage `load`."""
    from datasets import load_from_disk  # imports pandas: not for arms that compute features only

    from scripts.lora_ablation.data.tabular import save_nested

    shard = read(job.source, job.seed, 0, job.source.adapters)
    with TemporaryDirectory() as folder:
        save_nested(shard.matrix, shard.layout, shard.labels, folder)
        dataset = load_from_disk(folder)
        for unit in units:
            i, phases = unit[-1], Phases()
            matrix = chosen(job.load)(dataset, shard.layout, range(i, i + 1))
            phases.lap("load")
            checksum = int(sha256(matrix).hexdigest()[:13], 16)
            yield row(job, unit, phases, checksum=checksum)


def sigma_error(computed: np.ndarray, truth: np.ndarray) -> float:
    """Largest relative error of the ten leading singular values, where the true one is not 0."""
    values, true = (x.reshape(-1, 32)[:, :10].astype(float) for x in (computed, truth))
    there = true > 1e-6 * true[:, :1]
    return float((np.abs(values - true)[there] / true[there]).max())


def one_of_each_shape(shard: Shard) -> tuple[np.ndarray, Layout]:
    """Matrix and layout of the first tensor of each shape."""
    layout = shard.layout
    tensors = [layout.shapes.index(shape) for shape in dict.fromkeys(layout.shapes)]
    parts = [shard.matrix[:, layout.offsets[i] : layout.offsets[i + 1]] for i in tensors]
    few = Layout.of({layout.names[i]: layout.shapes[i] for i in tensors})
    return np.concatenate(parts, axis=1), few


def featured(job: PrepareJob, name_of_stage: str, units: list[list]) -> Iterator[Row]:
    """Rows of a stage at which features are compared."""
    rank = job.ranks[name_of_stage]
    source = job.source.model_copy(update={"rank": rank})
    matrix, layout = one_of_each_shape(read(source, job.seed, 0, source.adapters))
    tensors = list(range(len(layout.names)))
    told = matrix.astype(np.float64) if job.precision == "double" else matrix
    compute = chosen(job.features, job.device)
    for name, of_name in groupby(units, key=itemgetter(1)):
        truth = represent(matrix, layout, name, tensors, dtype=torch.float64)
        for unit in of_name:
            rows, phases = slice(unit[-1], unit[-1] + 1), Phases()
            (computed,) = compute(told[rows], layout, [(name, tensors)])
            phases.lap("features")
            metrics = {"deviation": deviation(computed, truth[rows], REPRESENTATIONS[name], rank)}
            if name == "spectral":
                metrics["sigma_error"] = sigma_error(computed, truth[rows])
            yield row(job, unit, phases, **metrics)


def main(spec: PrepareJob, runs: Path) -> None:
    rows: list[Row] = []
    for name, group in groupby(spec.units, key=itemgetter(0)):
        units = list(group)
        rows += loaded(spec, units) if name == "load" else featured(spec, name, units)
    write_runs(runs, rows, AXES)


if __name__ == "__main__":
    stage(main)
