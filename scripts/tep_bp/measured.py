"""What `measure` times in this study (contract, clause 4), by kind of work.

A unit [hidden, batch, round, number] is a trial; all widths and batch sizes have as many, so that a
round is a stratified sample of the search. An arm that stacks trials does so within a round; the
time of a stack is divided equally among its trials. Inputs: the tasks (.npz) and the gate (.json).
"""

from functools import cache
from pathlib import Path

import torch

from scripts.lib.seeds import seed63, stream
from scripts.lib.timing import Phases
from scripts.tep_bp.data.store import Task, read_task
from scripts.tep_bp.models.initial import batch_orders
from scripts.tep_bp.models.interface import Data, data_of
from scripts.tep_bp.models.reference.fit import loader
from scripts.tep_bp.models.stacked.fit import batch
from scripts.tep_bp.plans.sampling import as_trials, trials
from scripts.tep_bp.plans.space import Trial
from scripts.tep_bp.unit import chosen_solver, trained


@cache
def task_at(path: str) -> Task:
    """The task, read once: reading it is in no contestant's time."""
    return read_task(Path(path))


def drawn(spec: dict, units: list) -> list[Trial]:
    """The trials of the units, numbered in their order; other ones in every round."""
    plans = {}
    for hidden, size, round_, _ in units:
        space = spec["space"] | {"hidden": [hidden], "batch": [size]}
        seed = seed63(stream(spec["seed"], "tep_bp", "measure", hidden, size, round_))
        if (hidden, size, round_) not in plans:
            plan = trials(space, "sobol", spec["trials"], seed)
            plans[hidden, size, round_] = as_trials(plan, spec["rule"])
    found = [plans[tuple(stratum)][number] for *stratum, number in units]
    return [trial._replace(trial=place) for place, trial in enumerate(found)]


def search(spec: dict, data: Data, chosen: list[Trial]) -> list[dict]:
    """Train all trials."""
    fits = dict(trained(data, chosen, spec))
    return [{"n_steps": fits[trial].n_steps} | fits[trial].cost for trial in chosen]


def loading(spec: dict, data: Data, chosen: list[Trial]) -> list[dict]:
    """The batches of all epochs of each trial, without training."""
    return [_load(spec, data, trial) for trial in chosen]


def _load(spec: dict, data: Data, trial: Trial) -> dict:
    train, count, phases = spec["train"], 0, Phases()
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
    tasks = {Path(path).stem: path for path in inputs["data"] if path.endswith(".npz")}
    gates = [Path(path) for path in inputs["data"] if path.endswith(".json")]
    spec = chosen_solver(spec, gates)
    data = data_of(task_at(tasks[spec["task"]]), ("train",), "val")
    common = {"status": "ok", "threads": threads, "device": "cpu"}
    done = WORK[spec["work"]](spec, data, drawn(spec, spec["units"]))
    return [common | row for row in done]
