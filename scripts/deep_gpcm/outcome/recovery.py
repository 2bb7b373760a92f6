"""How well estimates recover the true parameters, where known; linked by one linear map.

docs/studies/deep_gpcm.md, Linking and recovery.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from scripts.deep_gpcm.models.irt.partial_credit import Parameters
from scripts.deep_gpcm.outcome.rows import KEY
from scripts.lib.table_files import together

NUMBERS = ["n", "correlation", "bias", "rmse", "slope"]
RECOVERY = ["data", "arm", "parameter", "folds", *NUMBERS, "ordered_share"]
POINTS = ["data", "arm", "parameter", "true", "estimate"]


def aligned(estimates: Parameters, truth: Parameters) -> tuple[Parameters, Parameters]:
    """Both with the students that both know, paired by id and never by place.

    The original compares its test students with the first n true abilities, which belong to others
    (docs/studies/deep_gpcm.md, Traps). Students whose estimate is NaN are left out.
    """
    known = estimates.student[~np.isnan(estimates.theta)]
    common = np.intersect1d(known, truth.student)
    return tuple(replace(p, student=common, theta=p.theta_of(common)) for p in (estimates, truth))


def mean_sigma(theta: np.ndarray, reference: np.ndarray) -> tuple[float, float]:
    """(A, B) such that A theta + B has the mean and the standard deviation of `reference`.

    NaN where theta (S,) does not vary: no map makes it the reference's scale.
    """
    if len(theta) < 2 or np.ptp(theta) == 0:
        return np.nan, np.nan
    slope = float(reference.std() / theta.std())
    return slope, float(reference.mean() - slope * theta.mean())


def linked(estimates: Parameters, slope: float, shift: float) -> Parameters:
    """The estimates on another scale: A theta + B, alpha / A and A beta + B."""
    return replace(
        estimates,
        theta=slope * estimates.theta + shift,
        alpha=estimates.alpha / slope,
        beta=slope * estimates.beta + shift,
    )


def last_of(student: np.ndarray, value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ids (S,) and each one's last value (S,) of rows (n,) in the order of time."""
    ids, back = np.unique(student[::-1], return_index=True)
    return ids, value[::-1][back]


def ordered_share(beta: np.ndarray) -> float:
    """Share of items whose thresholds (Q, K - 1) do not decrease; a GPCM need not have them so.

    Items without thresholds (all NaN) do not count; NaN if there is no other.
    """
    known = ~np.isnan(beta).all(axis=1)
    ordered = ~(np.diff(beta[known], axis=1) < 0).any(axis=1)
    return float(ordered.mean()) if len(ordered) else np.nan


def _columns(parameters: Parameters) -> dict[str, np.ndarray]:
    beta = {f"beta_{h}": column for h, column in enumerate(parameters.beta.T, start=1)}
    return {"theta": parameters.theta, "alpha": parameters.alpha, **beta}


def _row(name: str, raw: np.ndarray, onto: np.ndarray, true: np.ndarray) -> dict:
    """One parameter's estimates before and after linking, and its true values."""
    known = ~np.isnan(raw) & ~np.isnan(true)
    raw, error, true = raw[known], (onto - true)[known], true[known]
    row = {"parameter": name, "n": len(raw)}
    if len(raw) < 2 or np.ptp(raw) == 0 or np.ptp(true) == 0:
        return row | dict.fromkeys(("correlation", "bias", "rmse", "slope"), np.nan)
    spread, joint, true_spread = np.cov(raw, true).ravel()[[0, 1, 3]]
    return row | {
        "correlation": float(joint / np.sqrt(spread * true_spread)),
        "bias": float(error.mean()),
        "rmse": float(np.sqrt((error**2).mean())),
        "slope": float(joint / true_spread),
    }


def recovery_of(estimates: Parameters, truth: Parameters) -> list[dict]:
    """A row for theta, alpha, beta_1, ...: n, correlation, bias, rmse, slope.

    theta is compared over the students that both know, the others over the questions. `bias` and
    `rmse` are after linking by theta; `slope` (of the estimate on the truth) is before. All are
    NaN where fewer than two values are known or where they do not vary.
    """
    raw, true = aligned(estimates, truth)
    onto = linked(raw, *mean_sigma(raw.theta, true.theta))
    before, after, known = _columns(raw), _columns(onto), _columns(true)
    return [_row(name, before[name], after[name], known[name]) for name in known]


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
    predictions: pd.DataFrame,
    estimates: pd.DataFrame,
    truths: dict[str, Parameters | None],
    knowing: list[str],
) -> Iterator[Fitted]:
    """Each unit with item estimates of its own, on data whose truth is known.

    Items of the arms `knowing` are the true ones.
    """
    estimates = estimates[~estimates["arm"].isin(knowing)]
    known = estimates[estimates.groupby(KEY, observed=True)["alpha"].transform("any")]
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
    """A row per data set, arm and parameter: numbers of `recovery_of`, means over folds.

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
        for row in recovery_of(one.estimates, one.truth)
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
