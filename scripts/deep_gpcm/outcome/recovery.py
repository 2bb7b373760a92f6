"""Estimates of the units beside the true parameters, where these are known."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd

from scripts.deep_gpcm.irt.linking import aligned, linked, mean_sigma
from scripts.deep_gpcm.irt.parameters import Parameters
from scripts.deep_gpcm.irt.recovery import last_of, ordered_share
from scripts.deep_gpcm.irt.recovery import recovery as recovered
from scripts.deep_gpcm.outcome.units import KEY, together

KNOWING = ("bayes", "oracle")  # their items are the true ones
NUMBERS = ["n", "correlation", "bias", "rmse", "slope"]
RECOVERY = ["data", "arm", "parameter", "folds", *NUMBERS, "ordered_share"]
POINTS = ["data", "arm", "parameter", "true", "estimate"]


class Fitted(NamedTuple):
    """What one unit estimated, and the truth of its data set."""

    data: str
    arm: str
    fold: int
    estimates: Parameters
    truth: Parameters


def last_thetas(unit: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Ids (S,) and thetas (S,) of the last row of each student of a unit: given all but one answer.

    Of a log that is cut into windows the longest window counts, the mean of equally long ones.
    """
    theta = unit.groupby(["student_id", "t"])["theta"].mean()
    return last_of(theta.index.get_level_values(0).to_numpy(np.int64), theta.to_numpy())


def parameters(predictions: pd.DataFrame, estimates: pd.DataFrame, truth: Parameters) -> Parameters:
    """Estimates of one unit from its tables, items in the order of the truth."""
    student, theta = last_thetas(predictions)
    items = estimates.set_index("question_id").reindex(np.arange(1, len(truth.alpha) + 1))
    beta = [f"beta_{h}" for h in range(1, truth.beta.shape[1] + 1)]
    return Parameters(student, theta, items["alpha"].to_numpy(), items[beta].to_numpy())


def fitted(
    predictions: pd.DataFrame, estimates: pd.DataFrame, truths: dict[str, Parameters | None]
) -> Iterator[Fitted]:
    """Each unit with item estimates of its own, on data whose truth is known."""
    own = ~estimates["arm"].isin(KNOWING)
    known = estimates[own & estimates.groupby(KEY, observed=True)["alpha"].transform("any")]
    rows = dict(tuple(predictions.groupby(KEY, observed=True)))
    for key, items in known.groupby(KEY, observed=True):
        if (truth := truths[key[0]]) is not None and key in rows:
            yield Fitted(*key, parameters(rows[key], items, truth), truth)


def on_truth(one: Fitted) -> tuple[Parameters, Parameters]:
    """Estimates linked to the scale of the truth by theta, and the truth, of the same students."""
    raw, true = aligned(one.estimates, one.truth)
    return linked(raw, *mean_sigma(raw.theta, true.theta)), true


def first_fold(units: list[Fitted], arms: list[str]) -> list[Fitted]:
    """The first finished fold of each of these arms, by data set in the order of `arms`."""
    first = {}
    for one in units:
        if one.arm in arms:
            first.setdefault((one.data, one.arm), one)
    names = list(dict.fromkeys(data for data, _ in first))
    return [first[data, arm] for data in names for arm in arms if (data, arm) in first]


def recovery(units: list[Fitted]) -> pd.DataFrame:
    """A row per data set, arm and parameter: irt.recovery's numbers, means over folds.

    `ordered_share`: of items, those whose thresholds do not decrease.
    """
    rows = [
        {
            "data": one.data,
            "arm": one.arm,
            "ordered_share": ordered_share(one.estimates.beta),
            **row,
        }
        for one in units
        for row in recovered(one.estimates, one.truth)
    ]
    if not rows:
        return pd.DataFrame(columns=RECOVERY)
    groups = pd.DataFrame(rows).groupby(["data", "arm", "parameter"], sort=False)
    return groups.mean().assign(folds=groups.size()).reset_index()[RECOVERY]


def points(units: list[Fitted]) -> pd.DataFrame:
    """True value and linked estimate of every student and item that has both, a row each."""
    parts = []
    for one in units:
        estimate, true = on_truth(one)
        pairs = {"theta": (true.theta, estimate.theta), "alpha": (true.alpha, estimate.alpha)}
        betas = zip(true.beta.T, estimate.beta.T, strict=True)
        pairs |= {f"beta_{h}": pair for h, pair in enumerate(betas, start=1)}
        parts += [
            pd.DataFrame(dict(zip(POINTS, (one.data, one.arm, name, *pair), strict=True))).dropna()
            for name, pair in pairs.items()
        ]
    return together(parts, POINTS)
