"""What `measure` times in this study, by kind of work.

Inputs: `items_<data>` and `folds_<data>`, the files of each data set. Every kind of work takes
(job, fold, unit) and returns the columns of the unit's row; that of whole folds takes them all.
"""

from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter

from scripts.deep_gpcm.data.fold import Fold, read_fold
from scripts.deep_gpcm.models.batches import Resident
from scripts.deep_gpcm.models.choices import evaluation, loader_of, step_of, trainer_of
from scripts.deep_gpcm.models.fit import Fit, descend
from scripts.deep_gpcm.models.irt.baselines import learn, learned_from
from scripts.deep_gpcm.models.loss import predict
from scripts.deep_gpcm.models.network import Forward, Network
from scripts.deep_gpcm.specs import MeasuredBaseline, MeasuredJob
from scripts.lib.devices import settle, torch_device
from scripts.lib.timing import Phases
from scripts.lib.torch_rng import torch_rng

Columns = dict[str, Any]


@cache
def fold_at(path: Path, items: Path, protocol: str) -> Fold:
    """A fold, read once: reading it is in no contestant's time."""
    return read_fold(path, items, protocol)


def network(job: MeasuredJob, fold: Fold, key: tuple) -> tuple[Network, Forward]:
    """A fresh network and its evaluation."""
    levels, rng = torch.from_numpy(fold.levels), torch_rng(*key, "init")
    net = Network(job.model, levels, rng, job.train.precision).to(torch_device(job.device))
    return net, evaluation(job.evaluation, job.memory, job.heads)


def step(job: MeasuredJob, fold: Fold, unit: list) -> Columns:
    """The first steps of a training, on batches that are there already."""
    key, train = (job.seed, job.study, "measure", *unit), job.train
    net, forward = network(job, fold, key)
    update = step_of(job.step, list(net.parameters()), train)
    loader = loader_of(job.loader, fold.parts["train"], train, torch_rng(*key, "shuffle"))
    batches = [batch.on(net.device) for batch in islice(loader, job.steps)]
    phases = Phases()
    for batch in batches:
        descend(net, forward, batch, train, phases)
        update(train.lr)
        settle(net.device)
        phases.lap("optimizer")
    answers = sum(len(batch.question) for batch in batches)
    return {"n_steps": len(batches), "n_answers": answers} | phases.columns()


def loading(job: MeasuredJob, fold: Fold, unit: list) -> Columns:
    """An epoch's batches, without training."""
    rng = torch_rng(job.seed, job.study, "measure", *unit, "shuffle")
    phases = Phases()
    loader = loader_of(job.loader, fold.parts["train"], job.train, rng)
    answers = sum(len(batch.question) for batch in loader)
    phases.lap("data")
    return {"n_answers": answers} | phases.columns()


def inference(job: MeasuredJob, fold: Fold, unit: list) -> Columns:
    """Predictions for the test students by an untrained network."""
    net, _ = network(job, fold, (job.seed, job.study, "measure", *unit))
    forward = evaluation(job.evaluation, job.memory, job.inference)
    phases = Phases()
    log_p, _, _ = predict(net, forward, Resident(fold.parts["test"]), job.train)
    phases.lap("forward")
    return {"n_answers": len(log_p)} | phases.columns()


def whole(job: MeasuredJob, folds: list[Fold], units: list[list]) -> list[Columns]:
    """Whole folds: the training with its validation, and the test predictions."""
    train = job.train.model_copy(update={"epochs": units[0][-1]})
    keys = [(job.seed, job.study, data, number) for data, number, _ in units]
    done = trainer_of(job.trainer)(folds, job.model_copy(update={"train": train}), keys)
    return [predicted(job, fold, fitted) for fold, fitted in zip(folds, done, strict=True)]


def predicted(job: MeasuredJob, fold: Fold, done: Fit) -> Columns:
    """Columns of a whole fold, with the predictions that are yet to be made."""
    forward, phases = evaluation(job.evaluation, job.memory, job.inference), Phases()
    predict(done.net, forward, Resident(fold.parts["test"]), job.train)
    phases.lap("forward")
    cost = {name: done.cost.get(name, 0.0) + s for name, s in phases.columns().items()}
    return {"n_steps": len(done.losses), "n_answers": done.n_answers} | done.cost | cost


def classical(job: MeasuredBaseline, fold: Fold, unit: list) -> Columns:
    """The items of a classical model; predictions are the same code for all."""
    answers, phases = learned_from(fold), Phases()
    learn(job.baseline, fold, None)
    phases.lap("fit")
    return {"n_answers": len(answers.question)} | phases.columns()


WORK = {"step": step, "loading": loading, "inference": inference, "classical": classical}
JOBS = TypeAdapter(MeasuredJob | MeasuredBaseline)


def run(job: dict[str, Any], inputs: dict[str, list[Path]]) -> list[Columns]:
    """A row for each unit [data, fold, number]; status as in run files."""
    told, folds = JOBS.validate_python(job), []
    for data, fold, _ in told.units:
        (items,), paths = inputs[f"items_{data}"], inputs[f"folds_{data}"]
        protocol = told.train.protocol if isinstance(told, MeasuredJob) else "clean"
        folds.append(fold_at(paths[fold], items, protocol))
    if told.work == "folds":
        rows = whole(told, folds, told.units)
    else:
        rows = [WORK[told.work](told, *each) for each in zip(folds, told.units, strict=True)]
    return [{"status": "ok"} | row for row in rows]
