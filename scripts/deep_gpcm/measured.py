"""What `measure` times in this study (contract, clause 4), by kind of work.

Inputs: items.parquet and the folds of each data set, recognised by their folders. Every kind of
work takes (spec, fold, unit) and returns the columns of the unit's row.
"""

from functools import cache
from itertools import islice
from pathlib import Path

import torch

from scripts.deep_gpcm.data.fold import Fold, read_fold
from scripts.deep_gpcm.models.batches import LOADERS, Resident
from scripts.deep_gpcm.models.evaluation import evaluation
from scripts.deep_gpcm.models.fit import descend, fit
from scripts.deep_gpcm.models.loss import predict
from scripts.deep_gpcm.models.network import Network
from scripts.deep_gpcm.models.optimizer import STEPS
from scripts.lib.timing import Phases
from scripts.lib.torch_rng import torch_rng


@cache
def fold_at(path: str, items: str, protocol: str) -> Fold:
    """A fold, read once: reading it is in no contestant's time."""
    return read_fold(Path(path), Path(items), protocol)


def fold_of(spec: dict, files: list[str], unit: list) -> Fold:
    """The fold of a unit [data, fold, number] among the input files."""
    data, fold, _ = unit
    ends = (f"/folds/{data}/{fold}.parquet", f"/data/{data}/items.parquet")
    path, items = (next(file for file in files if file.endswith(end)) for end in ends)
    return fold_at(path, items, spec["train"]["protocol"])


def network(spec: dict, fold: Fold, key: tuple) -> tuple:
    """A fresh network and its evaluation."""
    net = Network(spec["model"], torch.from_numpy(fold.levels), torch_rng(*key, "init"))
    return net, evaluation(spec["evaluation"], spec["memory"], spec["heads"])


def step(spec: dict, fold: Fold, unit: list) -> dict:
    """The first steps of a training, on batches that are there already."""
    key, train = (spec["seed"], "deep_gpcm", "measure", *unit), spec["train"]
    net, forward = network(spec, fold, key)
    update = STEPS[spec["step"]](list(net.parameters()), train)
    loader = LOADERS[spec["loader"]](fold.parts["train"], train, torch_rng(*key, "shuffle"))
    batches = list(islice(loader, spec["steps"]))
    phases = Phases()
    for batch in batches:
        descend(net, forward, batch, train, phases)
        update(train["lr"])
        phases.lap("optimizer")
    answers = sum(len(batch.question) for batch in batches)
    return {"n_steps": len(batches), "n_answers": answers} | phases.columns()


def loading(spec: dict, fold: Fold, unit: list) -> dict:
    """An epoch's batches, without training."""
    rng = torch_rng(spec["seed"], "deep_gpcm", "measure", *unit, "shuffle")
    phases = Phases()
    loader = LOADERS[spec["loader"]](fold.parts["train"], spec["train"], rng)
    answers = sum(len(batch.question) for batch in loader)
    phases.lap("data")
    return {"n_answers": answers} | phases.columns()


def inference(spec: dict, fold: Fold, unit: list) -> dict:
    """Predictions for the test students by an untrained network."""
    net, _ = network(spec, fold, (spec["seed"], "deep_gpcm", "measure", *unit))
    forward = evaluation(spec["evaluation"], spec["memory"], spec["inference"])
    phases = Phases()
    log_p, _, _ = predict(net, forward, Resident(fold.parts["test"]), spec["train"])
    phases.lap("forward")
    return {"n_answers": len(log_p)} | phases.columns()


def folds(spec: dict, fold: Fold, unit: list) -> dict:
    """A whole fold: the training with its validation, and the test predictions."""
    data, number, epochs = unit
    job = spec | {"train": spec["train"] | {"epochs": epochs}}
    done = fit(fold, job, (spec["seed"], "deep_gpcm", data, number))
    forward, phases = evaluation(spec["evaluation"], spec["memory"], spec["inference"]), Phases()
    predict(done.net, forward, Resident(fold.parts["test"]), spec["train"])
    phases.lap("forward")
    cost = {name: done.cost.get(name, 0.0) + s for name, s in phases.columns().items()}
    return {"n_steps": len(done.losses), "n_answers": done.n_answers} | done.cost | cost


WORK = {"step": step, "loading": loading, "inference": inference, "folds": folds}


def run(spec: dict, inputs: dict, threads: int) -> list[dict]:
    """A row for each unit; status, threads and device as in run files."""
    torch.set_num_threads(threads)
    common = {"status": "ok", "threads": threads, "device": "cpu"}
    return [
        common | WORK[spec["work"]](spec, fold_of(spec, inputs["data"], unit), unit)
        for unit in spec["units"]
    ]
