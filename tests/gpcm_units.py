"""Tables that the units of a study write, as small frames."""

import numpy as np
import pandas as pd

from scripts.deep_gpcm.models.irt.partial_credit import Parameters
from scripts.deep_gpcm.outcome.rows import finished
from scripts.deep_gpcm.outcome.scores import METRICS

NUMBERS = dict.fromkeys(METRICS, 0.5) | {"fit_s": 2.0}


def run_rows(units: list[tuple], **columns) -> pd.DataFrame:
    """A finished run row per (data, arm, fold)."""
    rows = pd.DataFrame(units, columns=["data", "arm", "fold"])
    return rows.assign(**{"status": "ok", **NUMBERS, **columns})


def answer_rows(unit: tuple, response: list[int], probability: list[list], **columns):
    """A prediction row per answer; student k gives answer k unless said otherwise."""
    data, arm, fold = unit
    rows = pd.DataFrame({"data": data, "arm": arm, "fold": fold, "response": response})
    rows = rows.assign(student_id=range(len(rows)), t=0, question_id=1, theta=np.nan)
    p = np.array(probability, np.float32)
    return rows.assign(**columns, **{f"p_{k}": column for k, column in enumerate(p.T)})


def unit_tables(key: tuple, estimates: Parameters, length: int = 3) -> tuple:
    """Predictions whose last thetas are the estimates', on the way there halves; items as rows."""
    n, (data, arm, fold) = len(estimates.student), key
    rows = pd.DataFrame({
        "data": data, "arm": arm, "fold": fold,
        "student_id": np.repeat(estimates.student, length), "t": np.tile(range(length), n),
        "question_id": 1, "response": 0, "p_0": 0.75, "p_1": 0.25,
        "theta": (estimates.theta[:, None] * np.linspace(0, 1, length)).ravel(),
    })  # fmt: skip
    beta = {f"beta_{h}": column for h, column in enumerate(estimates.beta.T, start=1)}
    items = pd.DataFrame({"data": data, "arm": arm, "fold": fold, "alpha": estimates.alpha} | beta)
    return rows, items.assign(question_id=range(1, len(items) + 1))


def history(arm: str, fold: int, losses: list[float], data: str = "X") -> pd.DataFrame:
    """An epoch's row per loss; its validation NLL is twice as large."""
    rows = pd.DataFrame({"loss": losses, "val_nll": [2 * loss for loss in losses]})
    rows = rows.assign(data=data, arm=arm, fold=fold, epoch=range(1, len(losses) + 1))
    return rows.assign(val_qwk=0.1 * fold, lr=0.001)


def ready(table: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Rows of finished units, data sets in the order Y, X."""
    return finished(table, runs, ["Y", "X"])
