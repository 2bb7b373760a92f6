"""The trainings of a job: trials of one rule by one implementation, and their run rows."""

from collections.abc import Callable

import torch

from scripts.tep_bp.search.groups import groups, stacks
from scripts.tep_bp.task import Task
from scripts.tep_bp.training.data import Data, data_of
from scripts.tep_bp.training.fit import Fit
from scripts.tep_bp.training.stacked import fit_stack
from scripts.tep_bp.trial import Trial

EARLY_EPOCHS = 3  # whose losses are compared: before rounding has grown
Trained = list[tuple[Trial, Fit]]


def by_stack(data: Data, trials: list[Trial], spec: dict) -> Trained:
    """Stacks of equal shape."""
    stacked = stacks(trials, spec["elements"])
    return _paired(stacked, lambda stack: fit_stack(data, stack, spec["train"], spec["solver"]))


def fused(data: Data, trials: list[Trial], spec: dict) -> Trained:
    """One by one, in compiled steps."""
    from scripts.tep_bp.training.fused.fit import fit_fused

    return _paired([trials], lambda all: fit_fused(data, all, spec["train"], spec["solver"]))


def one_by_one(data: Data, trials: list[Trial], spec: dict) -> Trained:
    """The reference, whose imports take as long as many a stack."""
    from scripts.tep_bp.training.reference.fit import fit_trial

    train, solver = spec["train"], spec["solver"]
    return _paired([trials], lambda all: [fit_trial(data, one, train, solver) for one in all])


def by_legacy_stack(data: Data, trials: list[Trial], spec: dict) -> Trained:
    """The source's block, with the faults that the arm has."""
    from scripts.tep_bp.training.legacy.fit import fit_legacy

    faults = spec["faults"]
    return _paired(groups(trials), lambda stack: fit_legacy(data, stack, spec["train"], faults))


def _paired(stacked: list[list[Trial]], fit: Callable[[list[Trial]], list[Fit]]) -> Trained:
    return [pair for stack in stacked for pair in zip(stack, fit(stack), strict=True)]


TRAINERS = {
    "stacked": by_stack,
    "fused": fused,
    "reference": one_by_one,
    "legacy": by_legacy_stack,
}


def rows(spec: dict, trials: list[Trial], task: Task) -> list[dict]:
    """Run rows in order of trial.

    spec: arm, stage, rule, trainer, train, solver (None for a rule or trainer that has none) and
    its name `solver_name`, parts (whose samples train), held (whose samples score: `val` or
    `test`), elements of a stack, faults of a legacy arm.
    """
    data = data_of(task, tuple(spec["parts"]), spec["held"])
    done = TRAINERS[spec["trainer"]](data, trials, spec)
    return [_row(spec, *pair, data) for pair in sorted(done, key=lambda pair: pair[0].trial)]


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
