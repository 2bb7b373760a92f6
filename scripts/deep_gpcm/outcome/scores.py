"""How well each arm predicts the test students: scores, calibration, confusion matrix."""

import numpy as np
import pandas as pd

from scripts.deep_gpcm import metrics
from scripts.deep_gpcm.outcome.rows import KEY, chosen, shared
from scripts.lib.stats import paired_interval
from scripts.lib.table_files import together

METRICS = ("nll", "qwk", "accuracy", "ordinal_accuracy", "mae", "kendall_tau", "ece")
COMPARED = ("nll", "qwk")
CELL = ["data", "arm"]
PARTS = ("difference", "low", "high")
SCORES = [
    *("data", "arm", "role", "folds"),
    *(column for metric in METRICS for column in (metric, f"{metric}_sd")),
    *("nll_answers", "accuracy_answers", "common_folds"),
    *(f"{metric}_{part}" for metric in COMPARED for part in PARTS),
    "fit_s",
]
CALIBRATION = ["data", "arm", "low", "high", "count", "confidence", "accuracy"]
CONFUSION = ["data", "arm", "response", "predicted", "count"]


def scored_answers(predictions: pd.DataFrame) -> pd.DataFrame:
    """Columns data, arm, fold, response, categories, predicted, confidence, correct, nll.

    The predicted category is the likeliest one, the lowest of equals. `categories` is how many
    the data set has. As in metrics.scores a probability of zero counts as the smallest float.
    """
    names = [name for name in predictions if name.startswith("p_")]
    names = sorted(names, key=lambda name: int(name.removeprefix("p_")))
    probability = predictions[names].to_numpy(float).reshape(len(predictions), len(names))
    if not probability.size:
        probability = np.zeros((len(predictions), 1))
    absent = np.isnan(probability)
    response = predictions["response"].to_numpy(np.int64)
    chance = probability[np.arange(len(response)), response]
    probability[absent] = -1.0
    predicted = probability.argmax(axis=1)
    return predictions[KEY].assign(
        response=response,
        categories=(~absent).sum(axis=1),
        predicted=predicted,
        confidence=probability.max(axis=1),
        correct=predicted == response,
        nll=-np.log(np.maximum(chance, np.finfo(float).tiny)),
    )


def of_answers(answers: pd.DataFrame) -> pd.DataFrame:
    """nll, accuracy and qwk of each unit's answers alone, whatever else the arm scored."""
    units = answers.groupby(KEY, observed=True)
    means = units[["nll", "correct"]].mean().set_axis(["nll", "accuracy"], axis=1)
    kappa = {
        key: metrics.qwk(
            metrics.confusion(
                unit["response"].to_numpy(), unit["predicted"].to_numpy(), unit["categories"].max()
            )
        )
        for key, unit in units
    }
    return means.assign(qwk=list(kappa.values())).reset_index()


def differences(units: pd.DataFrame, arm: str, metric: str) -> pd.DataFrame:
    """Mean of every other arm minus `arm` over common folds with Student's 95 % interval.

    Indexed by data and arm; columns {metric}_difference, _low, _high and common_folds. One common
    fold has no interval.
    """
    own = units.loc[units["arm"] == arm, ["data", "fold", metric]]
    both = units[units["arm"] != arm].merge(own, on=["data", "fold"], suffixes=("", "_own"))
    by_cell = (both[metric] - both[f"{metric}_own"]).groupby([both[n] for n in CELL], observed=True)
    found = [
        (*cell, one.value, one.low, one.high, one.n)
        for cell, one in ((cell, paired_interval(part, confidence=0.95)) for cell, part in by_cell)
    ]
    names = [*CELL, *(f"{metric}_{part}" for part in PARTS), "common_folds"]
    return pd.DataFrame(found, columns=names).astype(units[CELL].dtypes).set_index(CELL)


def scores(runs: pd.DataFrame, answers: pd.DataFrame, roles: dict[str, str]) -> pd.DataFrame:
    """A row per data set and arm: mean and sample sd over folds of each metric, NLL first.

    `roles` maps result, classical and ceiling to their arms. `nll_answers`, `accuracy_answers` and
    all differences are of the answers alone (`scored_answers`), which matters only to an arm that
    scores padding too.
    """
    cells, units = runs.groupby(CELL, observed=True), of_answers(answers)
    parts = [cells.size().rename("folds"), cells["fit_s"].mean()]
    for metric in METRICS:
        parts += [cells[metric].mean(), cells[metric].std(ddof=1).rename(f"{metric}_sd")]
    alone = units.groupby(CELL, observed=True)[["nll", "accuracy"]].mean()
    parts.append(alone.add_suffix("_answers"))
    first, second = (differences(units, roles["result"], metric) for metric in COMPARED)
    parts += [first, second.drop(columns="common_folds")]
    table = parts[0].to_frame().join(parts[1:]).reset_index()
    names = {arm: role for role, arm in roles.items()}
    return table.assign(role=table["arm"].astype(object).map(names))[SCORES]


def calibration(answers: pd.DataFrame, arms: list[str]) -> pd.DataFrame:
    """Ten bins (low, high] of the largest probability: answers, mean confidence, accuracy.

    Pooled over the folds that all of these arms have; the bins of metrics.calibration_error.
    """
    parts, edges = [], np.arange(metrics.BINS + 1) / metrics.BINS
    for (data, arm), part in shared(chosen(answers, arms)).groupby(["data", "arm"], observed=True):
        place = np.ceil(part["confidence"].to_numpy() * metrics.BINS).astype(int) - 1
        place = np.clip(place, 0, metrics.BINS - 1)
        count = np.bincount(place, minlength=metrics.BINS)
        means = (
            np.divide(np.bincount(place, part[name], metrics.BINS), count,
                      out=np.full(metrics.BINS, np.nan), where=count > 0)
            for name in ("confidence", "correct")
        )  # fmt: skip
        columns = (data, arm, edges[:-1], edges[1:], count, *means)
        parts.append(pd.DataFrame(dict(zip(CALIBRATION, columns, strict=True))))
    return together(parts, CALIBRATION)


def confusion(answers: pd.DataFrame, arms: list[str]) -> pd.DataFrame:
    """Counts of each response and predicted category, pooled over the folds of all these arms."""
    parts = []
    for (data, arm), part in shared(chosen(answers, arms)).groupby(["data", "arm"], observed=True):
        size = int(part["categories"].max())
        response, predicted = part["response"].to_numpy(), part["predicted"].to_numpy()
        counts = metrics.confusion(response, predicted, size)
        row, column = np.indices(counts.shape)
        columns = (data, arm, row.ravel(), column.ravel(), counts.ravel())
        parts.append(pd.DataFrame(dict(zip(CONFUSION, columns, strict=True))))
    return together(parts, CONFUSION)
