"""Peer: the trials in a loop of the package Optuna, as one writes it.

Each trial is trained by the reference, so that scores are the reference's bit by bit; what is
compared is a loop that trains one trial after the other with the search of this repository
(docs/studies/tep_bp.md, Peers).
"""

from typing import Any

import optuna

from scripts.tep_bp.models.interface import Data, Fit
from scripts.tep_bp.models.reference.trial import fit_trial
from scripts.tep_bp.options import Solver, Training
from scripts.tep_bp.plans.space import RANGES, Trial, searched


def suggested(asked: optuna.Trial, trials: list[Trial]) -> dict[str, Any]:
    """Hyperparameters of a trial, asked for one by one in the space that the trials span."""
    found: dict[str, Any] = {}
    for key in searched(trials[0].rule):
        values = sorted({getattr(trial, key) for trial in trials})
        if key in RANGES:
            found[key] = asked.suggest_float(key, values[0], values[-1], log=True)
        else:
            found[key] = asked.suggest_categorical(key, values)
    return found


def fit_in_optuna(
    data: Data, trials: list[Trial], train: Training, solver: Solver | None
) -> list[Fit]:
    """The fits of these trials of one rule, enqueued in a study in memory and trained in turn.

    Nothing of Optuna is random here: every trial is enqueued. The cost of a fit is its own, without
    the loop around it.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study, fits = optuna.create_study(direction="maximize"), []
    for trial in trials:
        study.enqueue_trial({key: getattr(trial, key) for key in searched(trial.rule)})

    def objective(asked: optuna.Trial) -> float:
        trial = trials[asked.number]._replace(**suggested(asked, trials))
        fits.append(fit_trial(data, trial, train, solver))
        return fits[-1].accuracy

    study.optimize(objective, n_trials=len(trials))
    return fits
