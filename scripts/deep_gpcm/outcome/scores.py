"""How well each arm predicts the test students, with its difference from the result arm."""

import pandas as pd

from scripts.deep_gpcm.outcome.units import KEY
from scripts.lib.stats import paired_interval

METRICS = ("nll", "qwk", "accuracy", "ordinal_accuracy", "mae", "kendall_tau", "ece")
COMPARED = ("nll", "qwk")
CELL = ["data", "arm"]
SCORES = [
    *("data", "arm", "role", "folds"),
    *(column for metric in METRICS for column in (metric, f"{metric}_sd")),
    *("nll_answers", "accuracy_answers", "common_folds"),
    *(f"{metric}_{part}" for metric in COMPARED for part in ("difference", "low", "high")),
    "fit_s",
]


def differences(runs: pd.DataFrame, arm: str, metric: str) -> pd.DataFrame:
    """Mean of every other arm minus `arm` over common folds with Student's 95 % interval.

    Indexed by data and arm; columns {metric}_difference, _low, _high and common_folds. One common
    fold has no interval.
    """
    own = runs.loc[runs["arm"] == arm, ["data", "fold", metric]]
    both = runs[runs["arm"] != arm].merge(own, on=["data", "fold"], suffixes=("", "_own"))
    by_cell = (both[metric] - both[f"{metric}_own"]).groupby([both[n] for n in CELL], observed=True)
    found = {cell: paired_interval(part, confidence=0.95) for cell, part in by_cell}
    names = [f"{metric}_{part}" for part in ("difference", "low", "high")]
    rows = [(one.value, one.low, one.high, one.n) for one in found.values()]
    index = (
        pd.MultiIndex.from_tuples(found, names=CELL) if found else runs.set_index(CELL).index[:0]
    )
    return pd.DataFrame(rows, index, [*names, "common_folds"])


def scores(runs: pd.DataFrame, answers: pd.DataFrame, roles: dict[str, str]) -> pd.DataFrame:
    """A row per data set and arm: mean and sample sd over folds of each metric, NLL first.

    `roles` maps result, classical and ceiling to their arms. `nll_answers` and `accuracy_answers`
    are those of the answers alone (`judged`): other than `nll` and `accuracy` only where an arm
    counts padding.
    """
    cells = runs.groupby(CELL, observed=True)
    parts = [cells.size().rename("folds"), cells["fit_s"].mean()]
    for metric in METRICS:
        parts += [cells[metric].mean(), cells[metric].std(ddof=1).rename(f"{metric}_sd")]
    of_fold = answers.groupby(KEY, observed=True)[["nll", "correct"]].mean()
    alone = of_fold.groupby(CELL, observed=True).mean()
    parts.append(alone.set_axis(["nll_answers", "accuracy_answers"], axis=1))
    first, *others = (differences(runs, roles["result"], metric) for metric in COMPARED)
    parts += [first, *(other.drop(columns="common_folds") for other in others)]
    table = parts[0].to_frame().join(parts[1:]).reset_index()
    names = {arm: role for role, arm in roles.items()}
    return table.assign(role=table["arm"].astype(object).map(names))[SCORES]
