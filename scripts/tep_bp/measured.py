"""What `measure` times in this study (contract, clause 4), by kind of work.

A unit is a stratum [hidden, batch, round] of the search space: as many trials as the search has on
average at this width and batch size. Whoever stacks trains all of them and is charged its share per
trial; whoever trains one by one trains one of them. So every round costs each contestant one trial
per stratum, and the sum over strata is that of a stratified sample.
"""

from functools import cache
from pathlib import Path

import torch

from scripts.lib.seeds import seed63, stream
from scripts.lib.timing import Phases
from scripts.tep_bp.search.plan import as_trials, trials
from scripts.tep_bp.task import Task
from scripts.tep_bp.tasks.store import read_task
from scripts.tep_bp.training.data import Data, data_of
from scripts.tep_bp.training.initial import batch_orders
from scripts.tep_bp.training.reference.fit import loader
from scripts.tep_bp.training.stacked import batch
from scripts.tep_bp.trial import Trial
from scripts.tep_bp.unit import TRAINERS


@cache
def task_at(path: str) -> Task:
    """The task, read once: reading it is in no contestant's time."""
    return read_task(Path(path))


def stratum(spec: dict, unit: list) -> list[Trial]:
    """The trials of a unit, each round's its own."""
    hidden, size, round_ = unit
    space = spec["space"] | {"hidden": [hidden], "batch": [size]}
    seed = seed63(stream(spec["seed"], "tep_bp", "measure", *unit))
    return as_trials(trials(space, "sobol", spec["stratum"], seed), spec["rule"])


def search(spec: dict, data: Data, chosen: list[Trial]) -> dict:
    """Train the trials of a stratum, or one of them; columns per trial."""
    one = spec["trainer"] == "reference"
    solver = spec["solvers"].get(spec["solver_name"])
    done = TRAINERS[spec["trainer"]](data, chosen[:1] if one else chosen, spec | {"solver": solver})
    fits = [fit for _, fit in done]
    names = fits[0].cost
    shared = {name: sum(fit.cost[name] for fit in fits) / len(fits) for name in names}
    return {"n_steps": fits[0].n_steps, "n_trained": len(fits), "n_trials": 1} | shared


def loading(spec: dict, data: Data, chosen: list[Trial]) -> dict:
    """Batches of all epochs for one trial, without training."""
    trial, train, count = chosen[0], spec["train"], 0
    phases = Phases()
    if spec["trainer"] == "reference":
        batches = loader(data, trial, train)
        for _ in range(train["epochs"]):
            count += sum(len(y) for _, y in batches)
    else:
        rng = batch_orders(trial)
        for _ in range(train["epochs"]):
            order = torch.randperm(len(data.x), generator=rng)[None]
            count += sum(batch(data, part)[1].shape[1] for part in order.split(trial.batch, 1))
    phases.lap("data")
    return {"n_samples": count} | phases.columns()


WORK = {"trials": search, "loading": loading}


def run(spec: dict, inputs: dict, threads: int) -> list[dict]:
    """A row for each unit; status, threads and device as in run files."""
    torch.set_num_threads(threads)
    path = next(path for path in inputs["data"] if Path(path).stem == spec["task"])
    data = data_of(task_at(path), ("train",), "val")
    common = {"status": "ok", "threads": threads, "device": "cpu"}
    return [common | WORK[spec["work"]](spec, data, stratum(spec, unit)) for unit in spec["units"]]
