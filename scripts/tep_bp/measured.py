"""What `measure` times in this study, by kind of work.

A unit [hidden, batch, round, number] is a trial; all widths and batch sizes have as many, so that a
round is a stratified sample of the search. An arm that stacks trials does so within a round; the
time of a stack is divided equally among its trials.
"""

from functools import cache
from pathlib import Path
from typing import Any

import torch

from scripts.lib.plan import UnitLabels
from scripts.lib.seeds import seed63, stream
from scripts.lib.timing import Phases
from scripts.tep_bp.data.store import Task, read_task
from scripts.tep_bp.models.interface import Data, batch_orders, data_of
from scripts.tep_bp.models.reference.trial import loader
from scripts.tep_bp.models.stacked.stacked import batch
from scripts.tep_bp.plans.sampling import as_trials, trials
from scripts.tep_bp.plans.space import Trial
from scripts.tep_bp.specs import MeasuredJob, Row
from scripts.tep_bp.unit import solved, trained


@cache
def task_at(path: Path) -> Task:
    """The task, read once: reading it is in no contestant's time."""
    return read_task(path)


def drawn(job: MeasuredJob, units: list[UnitLabels]) -> list[Trial]:
    """The trials of the units, numbered in their order; other ones in every round."""
    plans: dict[tuple, list[Trial]] = {}
    for hidden, size, round_, _ in units:
        space = job.space.model_copy(update={"hidden": [hidden], "batch": [size]})
        seed = seed63(stream(job.seed, "tep_bp", "measure", hidden, size, round_))
        if (hidden, size, round_) not in plans:
            plan = trials(space, "sobol", job.trials, seed)
            plans[hidden, size, round_] = as_trials(plan, job.rule)
    found = [plans[tuple(stratum)][number] for *stratum, number in units]
    return [trial._replace(trial=place) for place, trial in enumerate(found)]


def search(job: MeasuredJob, data: Data, chosen: list[Trial]) -> list[Row]:
    """Train all trials."""
    fits = dict(trained(data, chosen, job))
    return [{"n_steps": fits[trial].n_steps} | fits[trial].cost for trial in chosen]


def loading(job: MeasuredJob, data: Data, chosen: list[Trial]) -> list[Row]:
    """The batches of all epochs of each trial, without training."""
    return [_load(job, data, trial) for trial in chosen]


def _load(job: MeasuredJob, data: Data, trial: Trial) -> Row:
    train, count, phases = job.train, 0, Phases()
    if job.implementation == "reference":
        batches = loader(data, trial, train)
        for _ in range(train.epochs):
            count += sum(len(y) for _, y in batches)
    else:
        rng = batch_orders(trial)
        for _ in range(train.epochs):
            order = torch.randperm(len(data.x), generator=rng)[None]
            count += sum(batch(data, part)[1].shape[1] for part in order.split(trial.batch, 1))
    phases.lap("data")
    return {"n_samples": count} | phases.columns()


WORK = {"trials": search, "loading": loading}


def run(job: dict[str, Any], inputs: dict[str, list[Path]]) -> list[Row]:
    """A row for each unit; a trial that diverges is trained to its end, so all are `ok`."""
    spec = solved(MeasuredJob.model_validate(job), inputs["gate"])
    tasks = {path.stem: path for path in inputs["tasks"]}
    data = data_of(task_at(tasks[spec.task]), ["train"], "val", spec.train.precision)
    done = WORK[spec.work](spec, data, drawn(spec, spec.units))
    return [{"status": "ok"} | row for row in done]
