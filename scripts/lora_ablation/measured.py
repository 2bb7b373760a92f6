"""What `measure` times in this study (contract, clause 4), by kind of work.

Inputs, in this order: a `datasets` directory of generated adapters, the index, a layout, feature
files. Every kind of work takes (spec, data, unit) and returns the columns of the unit's row.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset, load_from_disk
from sklearn.preprocessing import StandardScaler

from scripts.lib.seeds import numpy_rng
from scripts.lib.timing import Phases
from scripts.lora_ablation.data.access import LOADERS
from scripts.lora_ablation.data.cell import Cell, by_family, parts_of, read_cell, standardisation
from scripts.lora_ablation.data.layout import Layout, sd15_layout
from scripts.lora_ablation.data.sources import read
from scripts.lora_ablation.data.split import split
from scripts.lora_ablation.data.store import read_layout
from scripts.lora_ablation.representations import frequency, reference
from scripts.lora_ablation.representations.catalogue import REPRESENTATIONS
from scripts.lora_ablation.representations.grouped import keep_heap
from scripts.lora_ablation.representations.singular import singular_values, top10
from scripts.lora_ablation.representations.union import FEATURES
from scripts.lora_ablation.unit import train_units

HAND_CRAFTED = [name for name in REPRESENTATIONS if name != "product"]
SELECTIONS = ("all", "visual")  # what the original evaluates


@cache
def dataset_at(path: str) -> Dataset:
    """The nested data set, opened once: opening it is in no contestant's time."""
    return load_from_disk(path)


def load(spec: dict, data: list[str], unit: list) -> dict:
    """Tensors of a block of adapters from nested lists."""
    _, start, stop = unit
    dataset, phases = dataset_at(data[0]), Phases()
    matrix = LOADERS[spec["load"]](dataset, sd15_layout(1), range(start, stop))
    phases.lap("load")
    return {"n_adapters": len(matrix)} | phases.columns()


def features(spec: dict, data: list[str], unit: list) -> dict:
    """All hand-crafted representations, all and visual, of a block of adapters in memory."""
    _, start, stop = unit
    shard = read(spec["source"], spec["seed"], start, stop)
    tensors = {layers: shard.layout.selected(layers) for layers in SELECTIONS}
    wanted = [(name, tensors[layers]) for layers in SELECTIONS for name in HAND_CRAFTED]
    phases = Phases()
    FEATURES[spec["features"]](shard.matrix, shard.layout, wanted)
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
    keep_heap()
    return top10(singular_values(x))


def fft_loop(x: np.ndarray) -> np.ndarray:
    """The numbers of the family `frequency`, [n, 14], from a full DFT of each matrix in turn."""
    return reference.frequency(torch.from_numpy(x)).numpy()


# Ways to the ten largest singular values of each matrix (claim LVA-1 of config/claims.csv), from
# float32 [n, p, q] to [n, 10], descending, padded with zeros.
SVD = {"reference": full_loop, "lowrank": lowrank_loop, "resident": qr_batched}
# Ways to the numbers of the family `frequency` (claim LPL-4).
FFT = {"reference": fft_loop, "resident": frequency.compute}


def by_matrix(ways: dict[str, Callable]) -> Callable:
    """Work on fresh N(0, 1) matrices (n, rank, 1280), by the arm's way."""

    def work(spec: dict, data: list[str], unit: list) -> dict:
        rng = numpy_rng(spec["seed"], "lora_ablation", "matrices", spec["rank"], unit[1])
        x = rng.standard_normal((spec["matrices"], spec["rank"], 1280), np.float32)
        phases = Phases()
        ways[spec["arm"]](x)
        phases.lap("features")
        return {"n_matrices": len(x)} | phases.columns()

    return work


CELLS: dict[str, Cell] = {}


def cell_of(spec: dict, data: list[str], unit: list) -> Cell:
    """The unit's cell, read once: reading it is in no contestant's time."""
    name = unit[1]
    if name not in CELLS:
        paths = [Path(path) for path in data[1:]]
        wanted = {family for family, _, _ in spec["columns"][name]}
        files_of = by_family(paths[2:])
        files = [path for family in wanted for path in files_of[family]]
        job = spec | {"columns": spec["columns"][name], "units": [unit]}
        CELLS[name] = read_cell(job, read_layout(paths[1]), paths[0], files)
    return CELLS[name]


def scaler(spec: dict, data: list[str], unit: list) -> dict:
    """Standardisation of a cell by its training rows."""
    cell = cell_of(spec, data, unit)
    rows, phases = cell.x[cell.parts["train"]], Phases()
    if spec["trainer"] == "reference":
        torch.from_numpy(StandardScaler().fit(rows).transform(cell.x))
    else:
        torch.from_numpy(standardisation(rows, mask=True)(cell.x))
    phases.lap("prepare")
    return {"n_rows": len(cell.x)} | phases.columns()


def train(spec: dict, data: list[str], unit: list) -> dict:
    """One run of a cell."""
    return train_units(spec, cell_of(spec, data, unit), [unit])[0]["row"]


def total(spec: dict, data: list[str], unit: list) -> dict:
    """Everything for one representation, all and visual: load, features, training.

    The original's way loads and computes the second selection anew.
    """
    layout, dataset, rows = sd15_layout(1), dataset_at(data[0]), range(spec["adapters"])
    labels = np.array(dataset.with_format("numpy")["category_label"][: len(rows)])
    classes, y = np.unique(labels, return_inverse=True)
    parts = parts_of(list(split("source", labels, labels)), 100, spec["seed"])
    chosen, phases = [layout.selected(layers) for layers in SELECTIONS], Phases()
    if spec["features"] == "union":
        matrix = LOADERS[spec["load"]](dataset, layout, rows)
        phases.lap("load")
        inputs = FEATURES["union"](matrix, layout, [(unit[1], tensors) for tensors in chosen])
        phases.lap("features")
    else:
        inputs = []
        for tensors in chosen:
            part = Layout.of({layout.names[i]: layout.shapes[i] for i in tensors})
            matrix = LOADERS[spec["load"]](dataset, part, rows)
            phases.lap("load")
            wanted = [(unit[1], list(range(len(tensors))))]
            inputs += FEATURES[spec["features"]](matrix, part, wanted)
            phases.lap("features")
    fits = [train_units(spec, Cell(x, y, list(classes), parts), [unit])[0]["row"] for x in inputs]
    phases.lap("train")
    return {"n_steps": sum(row["n_steps"] for row in fits)} | phases.columns()


WORK = {
    "load": load,
    "features": features,
    "svd": by_matrix(SVD),
    "fft": by_matrix(FFT),
    "scaler": scaler,
    "train": train,
    "total": total,
}


def run(spec: dict, inputs: dict, threads: int) -> list[dict]:
    """A row for each unit; status, threads and device as in run files."""
    torch.set_num_threads(threads)
    keep_heap()
    common = {"status": "ok", "threads": threads, "device": "cpu"}
    return [common | WORK[spec["work"]](spec, inputs["data"], unit) for unit in spec["units"]]
