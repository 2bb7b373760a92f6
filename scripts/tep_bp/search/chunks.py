"""Which trials share a job, and which of them are stacked (spec 6.4)."""

import pandas as pd

from scripts.tep_bp.search.plan import as_trials
from scripts.tep_bp.trial import Trial

WAVE = 100  # trials
COST_CLASSES = {"small": 32, "medium": 64}  # widths up to; all wider ones are "large"


def cost_class(hidden: int) -> str:
    """small, medium or large."""
    return next((name for name, widest in COST_CLASSES.items() if hidden <= widest), "large")


def chunks(trials: pd.DataFrame, rule: str, wave: int = WAVE) -> dict[str, list[Trial]]:
    """Trials of each job by its name, "{rule}-{wave}-{cost class}", in order of trial.

    A job's name depends on the trial's number and width only: appended trials move no other, and
    a full wave never changes.
    """
    found: dict[str, list[Trial]] = {}
    for trial in as_trials(trials, rule):
        name = f"{rule}-{trial.trial // wave:03d}-{cost_class(trial.hidden)}"
        found.setdefault(name, []).append(trial)
    return found


def groups(chunk: list[Trial]) -> list[list[Trial]]:
    """Trials of equal (hidden, batch), narrow ones first; a group is in order of trial."""
    found: dict[tuple[int, int], list[Trial]] = {}
    for trial in sorted(chunk, key=lambda trial: (trial.hidden, trial.batch, trial.trial)):
        found.setdefault((trial.hidden, trial.batch), []).append(trial)
    return list(found.values())
