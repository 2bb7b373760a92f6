"""How fast the traced ability of a student approaches the true one."""

import numpy as np
import pandas as pd

from scripts.deep_gpcm.irt.linking import mean_sigma
from scripts.deep_gpcm.irt.parameters import Parameters
from scripts.deep_gpcm.outcome.recovery import last_thetas
from scripts.deep_gpcm.outcome.units import chosen, shared, together

SINGLE, POOLED = 20, 40  # places shown one by one, and steps that the later ones are pooled into
CONVERGENCE = ["data", "arm", "t", "n", "rmse"]


def steps(t: np.ndarray) -> np.ndarray:
    """The first place of each place's step: itself at first, then steps of equal width."""
    width = max(1, -(-(int(t.max(initial=0)) + 1 - SINGLE) // POOLED))
    return np.where(t < SINGLE, t, SINGLE + (t - SINGLE) // width * width)


def linked_errors(unit: pd.DataFrame, truth: Parameters) -> np.ndarray:
    """Linked theta minus the true theta of each row of a unit; linked by the last thetas."""
    student, theta = last_thetas(unit)
    slope, shift = mean_sigma(theta, truth.theta_of(student))
    true = truth.theta_of(unit["student_id"].to_numpy(np.int64))
    return slope * unit["theta"].to_numpy() + shift - true


def convergence(
    predictions: pd.DataFrame, truths: dict[str, Parameters | None], arms: list[str]
) -> pd.DataFrame:
    """Root mean squared error of theta after t answers, over students of the arms' common folds.

    `t` is the mean place of the `n` rows that are pooled. Only data sets whose truth is known.
    """
    rows = chosen(predictions, arms)
    rows = shared(rows[rows["data"].map(lambda name: truths[name] is not None).astype(bool)])
    parts = []
    for data, part in rows.groupby("data", observed=True):
        step = steps(part["t"].to_numpy(np.int64))
        units = part.groupby(["arm", "fold"], observed=True)
        errors = [pd.Series(linked_errors(unit, truths[data]), unit.index) for _, unit in units]
        part = part.assign(step=step, square=pd.concat(errors) ** 2)
        groups = part.groupby(["arm", "step"], observed=True)
        found = groups.agg(t=("t", "mean"), n=("t", "size"), rmse=("square", "mean"))
        found = found.assign(data=data, rmse=np.sqrt(found["rmse"])).reset_index()
        parts.append(found[CONVERGENCE])
    return together(parts, CONVERGENCE)
