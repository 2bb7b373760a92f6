"""How well each arm predicts the test students, with its difference from the result arm."""

import pandas as pd

from scripts.deep_gpcm import metrics
from scripts.deep_gpcm.outcome.units import KEY
from scripts.lib.stats import paired_interval

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


def of_answers(answers: pd.DataFrame) -> pd.DataFrame:
    """nll, accuracy and qwk of each unit's answers (`judged`), whatever else the arm scored."""
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
    all differences are of the answers alone (`judged`), which matters only to an arm that scores
    padding too.
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
