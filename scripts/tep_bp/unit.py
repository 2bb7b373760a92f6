"""The trainings of a job: trials of one rule by one implementation, and their run rows.

A unit is a trial: its row depends on no other trial of its job or stack.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch

from scripts.lib.progress import progress
from scripts.lib.spec import array_digest, digest
from scripts.lib.units import finished
from scripts.tep_bp.data.store import Task
from scripts.tep_bp.models.interface import Data, Fit, data_of
from scripts.tep_bp.models.stacked.fit import fit_stack
from scripts.tep_bp.plans.sampling import groups, stacks
from scripts.tep_bp.plans.space import Trial

EARLY_EPOCHS = 3  # whose losses are compared: before rounding has grown
# Of a job's specification, what decides the row of a unit, beside its trial and the task.
DECISIVE = (
    *("arm", "stage", "rule", "trainer", "train", "solver", "solver_name", "faults"),
    *("parts", "held"),
)


class Trainer(NamedTuple):
    """An implementation: `stacks(trials, spec)` to train at once, `fit(data, stack, spec)`."""

    stacks: Callable[[list[Trial], dict], list[list[Trial]]]
    fit: Callable[[Data, list[Trial], dict], list[Fit]]


def one_by_one(trials: list[Trial], spec: dict) -> list[list[Trial]]:
    """Each trial by itself."""
    return [[trial] for trial in trials]


def by_shape(trials: list[Trial], spec: dict) -> list[list[Trial]]:
    """All trials of equal shape at once."""
    return groups(trials)


def by_size(trials: list[Trial], spec: dict) -> list[list[Trial]]:
    """Trials of equal shape, as many as the processor's cache can hold."""
    return stacks(trials, spec["elements"])


def stacked(data: Data, trials: list[Trial], spec: dict) -> list[Fit]:
    """Tensors with a dimension of trials."""
    return fit_stack(data, trials, spec["train"], spec["solver"])


def fused(data: Data, trials: list[Trial], spec: dict) -> list[Fit]:
    """Compiled steps."""
    from scripts.tep_bp.models.fused.fit import fit_fused

    return fit_fused(data, trials, spec["train"], spec["solver"])


def reference(data: Data, trials: list[Trial], spec: dict) -> list[Fit]:
    """The reference, whose imports take as long as many a stack."""
    from scripts.tep_bp.models.reference.fit import fit_trial

    return [fit_trial(data, trial, spec["train"], spec["solver"]) for trial in trials]


def legacy(data: Data, trials: list[Trial], spec: dict) -> list[Fit]:
    """The original's block, with the faults that the arm has."""
    from scripts.tep_bp.models.legacy.fit import fit_legacy

    return fit_legacy(data, trials, spec["train"], spec["faults"])


TRAINERS = {
    "stacked": Trainer(by_size, stacked),
    "fused": Trainer(one_by_one, fused),
    "reference": Trainer(one_by_one, reference),
    "legacy": Trainer(by_shape, legacy),
}


def trained(data: Data, trials: list[Trial], spec: dict) -> Iterator[tuple[Trial, Fit]]:
    """Each trial with its fit, stack by stack; nothing is kept."""
    trainer = TRAINERS[spec["trainer"]]
    for stack in trainer.stacks(trials, spec):
        yield from zip(stack, trainer.fit(data, stack, spec), strict=True)


def rows(spec: dict, trials: list[Trial], task: Task, store: Path | None = None) -> list[dict]:
    """Run rows in order of trial, from `store` where they are finished already.

    spec: arm, stage, rule, trainer, train, solver (None for a rule or trainer that has none) and
    its name `solver_name`, parts (whose samples train), held (whose samples score: `val` or
    `test`), elements of a stack, faults of a legacy arm. `store` is the folder of units that have
    the `decisive` part of the specification in common. The trials of a stack are finished together.
    """
    data, trainer = data_of(task, tuple(spec["parts"]), spec["held"]), TRAINERS[spec["trainer"]]
    # Each trial with those after it in its stack: what is trained where it is the first missing.
    whole = trainer.stacks(trials, spec)
    rest = {trial.trial: stack[at:] for stack in whole for at, trial in enumerate(stack)}
    computed: dict[int, dict] = {}

    def compute(unit: list) -> dict:
        number = unit[-1]
        if number not in computed:
            fits = zip(rest[number], trainer.fit(data, rest[number], spec), strict=True)
            computed.update({trial.trial: _row(spec, trial, fit, data) for trial, fit in fits})
        return computed.pop(number)

    of_task = task_digest(task) if store else ""
    units = [[spec["stage"], stack[0].rule, number] for number, stack in rest.items()]
    done = finished(units, compute, store, lambda unit: digest(rest[unit[-1]][0], of_task))
    return sorted(progress(done, len(units), spec["arm"]), key=lambda row: row["trial"])


def decisive(spec: dict) -> dict:
    """What all units of a job have in common that decides their rows."""
    return {name: spec[name] for name in DECISIVE}


def task_digest(task: Task) -> str:
    """Identifies samples, classes and parts of a task."""
    return array_digest(task.x, task.y, *(task.parts[name] for name in sorted(task.parts)))


def _row(spec: dict, trial: Trial, fit: Fit, data: Data) -> dict:
    row = {"study": "tep_bp", "arm": spec["arm"], "stage": spec["stage"], **trial._asdict()}
    row |= {"status": fit.status, "solver": spec["solver_name"], "epochs": spec["train"]["epochs"]}
    row |= _scores(spec["held"], fit, data)
    row |= {"diverged_epoch": fit.diverged_epoch, **fit.audit}
    row |= {name: getattr(fit, name) for name in ("n_parameters", "n_steps", "flops")}
    row |= {"parameter_hash": fit.parameter_hash, **fit.cost}
    return row | {"threads": torch.get_num_threads(), "device": "cpu"}


def _scores(held: str, fit: Fit, data: Data) -> dict:
    if held == "test":
        hits = (torch.from_numpy(fit.predicted) == data.held_y).long().tolist()
        return {"test_accuracy": fit.accuracy, "hits": hits}
    return {
        "test_accuracy": None,  # also where nobody is tested, the column is there
        "val_accuracy": fit.accuracy,
        "val_loss": fit.loss,
        "curve": fit.curve,
        "early_losses": fit.losses[:EARLY_EPOCHS],
    }


def chosen_solver(spec: dict, gates: list[Path]) -> dict:
    """The specification with `solver` (None for a rule without one) and its name.

    Where the name is `gated`, gate.json has it, the only one of `gates`.
    """
    name = spec["solver_name"]
    if name == "gated":
        name = json.loads(gates[0].read_text(encoding="utf-8"))["solver"]
    return spec | {"solver_name": name, "solver": spec["solvers"].get(name)}
