"""What `measure` times in this study, by kind of work.

Inputs by name: `nested`, a `datasets` directory of generated adapters; `index`, `layout` and
`features` of the adapters of the run. Every kind of work takes (job, inputs, unit) and returns the
columns of the unit's row.
"""

from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset, load_from_disk
from pydantic import TypeAdapter
from sklearn.preprocessing import StandardScaler

from scripts.lib.onednn import linear
from scripts.lib.seeds import numpy_rng
from scripts.lib.timing import Phases
from scripts.lib.workers import Inputs
from scripts.lora_ablation.data.cell import Cell, parts_of, read_cell, standardisation
from scripts.lora_ablation.data.layout import Layout, sd15_layout
from scripts.lora_ablation.data.sources import read
from scripts.lora_ablation.data.split import split
from scripts.lora_ablation.data.store import read_layout
from scripts.lora_ablation.models.network import HIDDEN_LAYERS
from scripts.lora_ablation.representations import frequency, original, peers
from scripts.lora_ablation.representations.catalogue import HAND_CRAFTED
from scripts.lora_ablation.representations.singular import singular_values, top10
from scripts.lora_ablation.specs import (
    FeaturesWork,
    FitJob,
    FitWork,
    LoadWork,
    MatricesWork,
    Measured,
    TotalWork,
    TrainJob,
)
from scripts.lora_ablation.unit import chosen, train_units

JOBS = TypeAdapter(Measured)
Row = dict[str, Any]
SELECTIONS = ("all", "visual")  # what the original evaluates


@cache
def dataset_at(path: Path) -> Dataset:
    """The nested data set, opened once: opening it is in no contestant's time."""
    return load_from_disk(str(path))


def load(job: LoadWork, inputs: Inputs, unit: list) -> Row:
    """Tensors of a block of adapters from nested lists."""
    _, start, stop = unit
    dataset, phases = dataset_at(*inputs["nested"]), Phases()
    matrix = chosen(job.load)(dataset, sd15_layout(1), range(start, stop))
    phases.lap("load")
    return {"n_adapters": len(matrix)} | phases.columns()


def features(job: FeaturesWork, inputs: Inputs, unit: list) -> Row:
    """All hand-crafted representations, all and visual, of a block of adapters in memory."""
    _, start, stop = unit
    shard = read(job.source, job.seed, start, stop)
    tensors = {layers: shard.layout.selected(layers) for layers in SELECTIONS}
    wanted = [(name, tensors[layers]) for layers in SELECTIONS for name in HAND_CRAFTED]
    phases = Phases()
    chosen(job.features, job.device)(shard.matrix, shard.layout, wanted)
    phases.lap("features")
    return {"n_adapters": stop - start} | phases.columns()


def full_loop(x: np.ndarray) -> np.ndarray:
    """A full SVD with vectors of each matrix in turn, as in the original's first script."""
    values = [torch.linalg.svd(w, full_matrices=False)[1] for w in torch.from_numpy(x)]
    return top10(torch.stack(values).numpy())


def lowrank_loop(x: np.ndarray) -> np.ndarray:
    """The randomised SVD of each matrix in turn, as in the original's optimised script.

    Random: from torch's global generator. An approximation where min(p, q) > 10.
    """
    matrices = torch.from_numpy(x)
    values = [torch.svd_lowrank(w, q=min(10, *w.shape))[1] for w in matrices]
    return top10(torch.stack(values).numpy())


def qr_batched(x: np.ndarray) -> np.ndarray:
    """Ours: the norm of a vector, else QR in float64 and the SVD of the small factor."""
    return top10(singular_values(x))


def fft_loop(x: np.ndarray) -> np.ndarray:
    """The numbers of the family `frequency`, [n, 14], from a full DFT of each matrix in turn."""
    return original.frequency(torch.from_numpy(x)).numpy()


# Ways to the ten largest singular values of each matrix (claim LVA-1 of config/claims.csv), from
# float32 [n, p, q] to [n, 10], descending, padded with zeros; by how an arm computes features.
SVD = {"loops": full_loop, "lowrank": lowrank_loop, "union": qr_batched}
SVD |= {
    "svdvals": lambda x: top10(peers.svdvals(x)),
    "weightwatcher": lambda x: top10(peers.weightwatcher(x)),
}
# Ways to the numbers of the family `frequency` (claim LPL-4).
FFT = {"loops": fft_loop, "union": frequency.compute}


def by_matrix(ways: dict[str, Callable]) -> Callable:
    """Work on fresh N(0, 1) matrices (n, rank, 1280), by the way of the arm's features."""

    def work(job: MatricesWork, inputs: Inputs, unit: list) -> Row:
        rng = numpy_rng(job.seed, job.study, "matrices", job.rank, unit[1])
        x = rng.standard_normal((job.matrices, job.rank, 1280), np.float32)
        phases = Phases()
        ways[job.features](x)
        phases.lap("features")
        return {"n_matrices": len(x)} | phases.columns()

    return work


CELLS: dict[str, Cell] = {}


def cell_of(job: FitWork, inputs: Inputs, unit: list) -> Cell:
    """The unit's cell, read once: reading it is in no contestant's time."""
    name = unit[1]
    if name not in CELLS:
        own = {key: getattr(job, key) for key in FitJob.model_fields} | {"units": [unit]}
        one = TrainJob(**own, columns=job.columns[name], selection=job.selection,
                       layers=job.layers)  # fmt: skip
        CELLS[name] = read_cell(one, read_layout(*inputs["layout"]), *inputs["index"],
                                inputs["features"])  # fmt: skip
    return CELLS[name]


def scaler(job: FitWork, inputs: Inputs, unit: list) -> Row:
    """Standardisation of a cell by its training rows."""
    cell = cell_of(job, inputs, unit)
    rows, phases = cell.x[cell.parts["train"]], Phases()
    if job.trainer == "reference":
        torch.from_numpy(StandardScaler().fit(rows).transform(cell.x))
    else:
        torch.from_numpy(standardisation(rows, mask=True)(cell.x))
    phases.lap("prepare")
    return {"n_rows": len(cell.x)} | phases.columns()


def train(job: FitWork, inputs: Inputs, unit: list) -> Row:
    """One run of a cell."""
    return train_units(job, cell_of(job, inputs, unit), [unit])[0]["row"]


def products(job: FitWork, inputs: Inputs, unit: list) -> Row:
    """The matrix products of the steps of a cell's run alone, as the trainer multiplies: a bound.

    Random: the factors, from torch's global generator.
    """
    cell, train = cell_of(job, inputs, unit), job.train
    rows, inputs_of = cell.x[cell.parts["train"]], cell.x.shape[1]
    if job.trainer != "reference":
        inputs_of = int(standardisation(rows, mask=not train.legacy_noise).kept.sum())
    multiply = torch.nn.functional.linear if job.trainer == "reference" else linear
    widths = [inputs_of, *[train.hidden] * HIDDEN_LAYERS, len(cell.classes)]
    shapes = [((train.batch, a), (b, a), (b,), (train.batch, b)) for a, b in pairwise(widths)]
    layers = [[torch.randn(shape) for shape in of_layer] for of_layer in shapes]
    n_steps, phases = train.max_epochs * (len(rows) // train.batch), Phases()
    for _ in range(n_steps):
        for number, (x, weight, bias, error) in enumerate(layers):
            multiply(x, weight, bias)
            multiply(error.mT, x.mT)
            if number:
                multiply(error, weight.mT)
    phases.lap("gradient")
    return {"n_steps": n_steps} | phases.columns()


def total(job: TotalWork, inputs: Inputs, unit: list) -> Row:
    """Everything for one representation, all and visual: load, features, training.

    The original's way loads and computes the second selection anew.
    """
    layout, dataset, rows = sd15_layout(1), dataset_at(*inputs["nested"]), range(job.adapters)
    labels = np.array(dataset.with_format("numpy")["category_label"][: len(rows)])
    classes, y = np.unique(labels, return_inverse=True)
    parts = parts_of(list(split("original", labels, labels)), 100, job.seed)
    selections, phases = [layout.selected(layers) for layers in SELECTIONS], Phases()
    if job.features == "union":
        matrix = chosen(job.load)(dataset, layout, rows)
        phases.lap("load")
        wanted = [(unit[1], tensors) for tensors in selections]
        xs = chosen(job.features)(matrix, layout, wanted)
        phases.lap("features")
    else:
        xs = []
        for tensors in selections:
            part = Layout.of({layout.names[i]: layout.shapes[i] for i in tensors})
            matrix = chosen(job.load)(dataset, part, rows)
            phases.lap("load")
            wanted = [(unit[1], list(range(len(tensors))))]
            xs += chosen(job.features)(matrix, part, wanted)
            phases.lap("features")
    fits = [train_units(job, Cell(x, y, list(classes), parts), [unit])[0]["row"] for x in xs]
    phases.lap("train")
    return {"n_steps": sum(row["n_steps"] for row in fits)} | phases.columns()


WORK: dict[str, Callable[..., Row]] = {
    "load": load,
    "features": features,
    "svd": by_matrix(SVD),
    "fft": by_matrix(FFT),
    "scaler": scaler,
    "train": train,
    "products": products,
    "total": total,
}


def run(job: dict[str, Any], inputs: Inputs) -> list[Row]:
    """A row for each unit, computed afresh: what `measure` times."""
    told = JOBS.validate_python(job)
    return [{"status": "ok"} | WORK[told.work](told, inputs, unit) for unit in told.units]
