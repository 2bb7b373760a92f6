"""The ladder of implementations: what a step costs, beside the proof that it is the same."""

import numpy as np
import pandas as pd

from scripts.deep_gpcm.specs import LadderJob
from scripts.lib.agreement import verdicts
from scripts.lib.comparison import compare, is_traced
from scripts.lib.table_files import together

LADDER = [
    *("workload", "contestant", "arm", "rounds", "quantity", "fit_ms", "cpu_ms", "tensor_peak_mb"),
    *("ratio", "low", "high", "noise_low", "noise_high", "agrees", "verdict", "reason"),
    *("max_loss_difference", "common_steps"),
]
SAME = ("implementation", "nothing (A/A)")


def loss_differences(losses: pd.DataFrame, reference: str) -> pd.DataFrame:
    """Largest |loss - loss of the reference| of any common step, and their number, by arm.

    Steps are those of the whole training on common data and folds; a loss that is not a number is
    infinitely far from any other.
    """
    key = ["data", "fold", "step"]
    own = losses.loc[losses["arm"] == reference, [*key, "loss"]]
    both = losses.merge(own, on=key, suffixes=("", "_own"), validate="many_to_one")
    both = both.assign(off=(both["loss"] - both["loss_own"]).abs().fillna(np.inf))
    return both.groupby("arm")["off"].agg(max_loss_difference="max", common_steps="size")


def ladder_row(
    rows: pd.DataFrame, baseline: str, name: str, again: str, passed: dict[str, tuple]
) -> dict | None:
    """One contestant of a workload beside the baseline; None if more than the arm differs."""
    own = rows[rows["contestant"] == name]
    arm, traced = own["arm"].iloc[0], is_traced(own)
    quantity = "tensor_peak_mb" if traced else "fit_s"
    row = {
        "workload": own["workload"].iloc[0],
        "contestant": name,
        "arm": arm,
        "rounds": own["round"].nunique(),
    }
    row |= {"quantity": quantity, "tensor_peak_mb": own["tensor_peak_mb"].median()}
    if not traced:  # tracing takes time of its own
        per_step = own[["fit_s", "cpu_s"]].div(own["n_steps"], axis=0).median() * 1000
        row |= {"fit_ms": per_step["fit_s"], "cpu_ms": per_step["cpu_s"]}
    if name == baseline:
        return row
    found = compare(rows, baseline, name, quantity, passed, (baseline, again))
    columns = found.columns()
    row |= {column: columns[column] for column in LADDER if column in columns}
    agrees = passed[arm][0] if arm in passed else None
    return row | {"ratio": columns["measured"], "agrees": agrees} if found.kind in SAME else None


def ladder(
    measured: pd.DataFrame,
    agreement: pd.DataFrame,
    losses: pd.DataFrame,
    spec: LadderJob,
) -> pd.DataFrame:
    """A row per workload and contestant, in their orders.

    Milliseconds are medians over rounds of one training step; `ratio` is the baseline's cost over
    the contestant's, in `quantity`, and only of arms that agree with the reference at the part of
    the study that the workload counts for. Arms of another protocol are left out.
    """
    other = set(agreement.loc[agreement["level"] == "protocol", "arm"])
    found = []
    baseline, again = spec.baseline, spec.again
    for step in spec.steps:
        rows = measured[measured["workload"] == step.workload]
        rows = rows[~rows["arm"].isin(other)]
        first = rows.drop_duplicates("contestant").set_index("contestant")
        if baseline not in first.index:
            continue
        passed = verdicts(agreement, rows["where"].iloc[0])
        names = [name for name in step.contestants if name in first.index]
        of_loss = loss_differences(losses, first.loc[baseline, "arm"])
        rows_of_names = [ladder_row(rows, baseline, name, again, passed) for name in names]
        table = pd.DataFrame([row for row in rows_of_names if row]).set_index("arm", drop=False)
        found.append(table.join(of_loss).reindex(columns=LADDER))
    return together(found, LADDER)
