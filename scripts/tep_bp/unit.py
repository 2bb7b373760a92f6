"""The trainings of a job: trials of one rule by one implementation, and their run rows.

A unit is a trial: its row depends on no other trial of its job or stack. Implementations import
their modules where they are called, so that an edit of one trains no other again.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

import torch

from scripts.lib.implementations import implementation, implementations
from scripts.lib.progress import progress
from scripts.lib.run_rows import run_row
from scripts.lib.spec import array_digest, digest
from scripts.lib.units import alone, finished, unit_folder
from scripts.tep_bp.data.store import Task
from scripts.tep_bp.models.interface import Data, Fit, data_of
from scripts.tep_bp.plans.sampling import groups, stacks
from scripts.tep_bp.plans.space import Trial
from scripts.tep_bp.specs import AXES, GATED, Row, TrainJob, TrialsJob

Stacks = list[list[Trial]]
J = TypeVar("J", bound=TrialsJob)


class Trainer(NamedTuple):
    """How an implementation trains: which trials at once, and the fits of such a stack."""

    stacks: Callable[[list[Trial]], Stacks]
    fit: Callable[[Data, list[Trial]], list[Fit]]


@implementation(devices=("cpu", "cuda"))
def reference(job: TrialsJob) -> Trainer:
    from scripts.tep_bp.models.reference.trial import fit_trial

    told = (job.train, job.iterations, job.device)
    return Trainer(alone, lambda data, trials: [fit_trial(data, *trials, *told)])


@implementation(devices=("cpu", "cuda"))
def stacked(job: TrialsJob) -> Trainer:
    from scripts.lib.gpu_stacks import fitting
    from scripts.tep_bp.models.stacked.stacked import fit_stack

    def fit(data: Data, trials: list[Trial]) -> list[Fit]:
        told = (job.train, job.iterations, job.device)
        return fitting(lambda some: fit_stack(data, some, *told), trials)

    # On a GPU all of one shape at once, and fewer only where it has no memory for them.
    most = job.max_stack_elements if job.device == "cpu" else None
    return Trainer(lambda trials: stacks(trials, most), fit)


@implementation
def fused(job: TrialsJob) -> Trainer:
    from scripts.tep_bp.models.fused.fit import fit_fused

    return Trainer(alone, lambda data, trials: fit_fused(data, trials, job.train, job.iterations))


@implementation
def wrong(job: TrialsJob) -> Trainer:
    from scripts.tep_bp.models.fused.fit import fit_fused
    from scripts.tep_bp.models.wrong import MISTAKES

    learner, train, solver = MISTAKES[job.mistake], job.train, job.iterations
    return Trainer(alone, lambda data, trials: fit_fused(data, trials, train, solver, learner))


@implementation
def optuna_loop(job: TrialsJob) -> Trainer:
    from scripts.tep_bp.models.peers import fit_in_optuna

    return Trainer(
        lambda trials: [trials],
        lambda data, trials: fit_in_optuna(data, trials, job.train, job.iterations),
    )


@implementation
def legacy(job: TrialsJob) -> Trainer:
    from scripts.tep_bp.models.legacy.legacy import fit_legacy

    return Trainer(groups, lambda data, trials: fit_legacy(data, trials, job.train, job.faults))


def trainer(job: TrialsJob) -> Trainer:
    """The implementation that a job names."""
    return implementations(__name__)[job.implementation](job)


def trained(data: Data, trials: list[Trial], job: TrialsJob) -> Iterator[tuple[Trial, Fit]]:
    """Each trial with its fit, stack by stack; nothing is kept."""
    own = trainer(job)
    for stack in own.stacks(trials):
        yield from zip(stack, own.fit(data, stack), strict=True)


def rows(job: TrainJob, trials: list[Trial], task: Task) -> list[Row]:
    """Run rows in order of trial, those of finished trials from disk.

    The solver of the job is known (`solved`). The trials of a stack are finished together.
    """
    data = data_of(task, job.parts, job.held, job.train.precision)
    own, store = trainer(job), unit_folder(job.of_units())
    by_number = {trial.trial: trial for trial in trials}

    def compute(units: list[list]) -> list[Row]:
        stack = [by_number[number] for *_, number in units]
        fits = zip(stack, own.fit(data, stack), strict=True)
        return [_row(job, trial, fit, data) for trial, fit in fits]

    of_task = task_digest(task) if store else ""
    stacks = [
        [[job.stage, job.rule, trial.trial] for trial in stack] for stack in own.stacks(trials)
    ]
    done = finished(stacks, compute, store, lambda unit: digest(by_number[unit[-1]], of_task))
    return sorted(progress(done, len(trials), job.arm), key=lambda row: row["trial"])


def task_digest(task: Task) -> str:
    """Identifies samples, classes and parts of a task."""
    return array_digest(task.x, task.y, *(task.parts[name] for name in sorted(task.parts)))


def _row(job: TrainJob, trial: Trial, fit: Fit, data: Data) -> Row:
    labels = [job.stage, job.rule, trial.trial]
    row = run_row(job, AXES, labels, trial.seed, fit.status, **fit.cost)
    row |= {name: value for name, value in trial._asdict().items() if name not in row}
    row |= {"solver": job.solver, "epochs": job.train.epochs} | _scores(job.held, fit, data)
    row |= {"diverged_epoch": fit.diverged_epoch, **fit.audit}
    row |= {name: getattr(fit, name) for name in ("n_parameters", "n_steps", "flops")}
    return row | {"parameter_hash": fit.parameter_hash}


def _scores(held: str, fit: Fit, data: Data) -> Row:
    if held == "test":
        hits = (torch.from_numpy(fit.predicted) == data.held_y).long().tolist()
        return {"test_accuracy": fit.accuracy, "hits": hits}
    return {
        "test_accuracy": None,  # also where nobody is tested, the column is there
        "val_accuracy": fit.accuracy,
        "peak_accuracy": max(fit.curve),
        "late_accuracy": sum(fit.late) / len(fit.late),
        "late_hits": fit.late,
        "val_loss": fit.loss,
        "curve": fit.curve,
        "early_losses": fit.early,
    }


def solved(job: J, gates: list[Path]) -> J:
    """The job with the solver that it uses: where it is gated, gate.json names it."""
    name = job.solver
    if name == GATED:
        (gate,) = gates
        name = json.loads(gate.read_text(encoding="utf-8"))["solver"]
    return job.solved_by(name)
