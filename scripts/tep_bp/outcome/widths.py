"""Time of a trial by width."""

import pandas as pd

from scripts.tep_bp.outcome.rows import together

PHASES = ("data", "free", "nudged", "update", "evaluate")
GROUP = ["arm", "role", "rule", "hidden"]
WIDTHS = [*GROUP, "trials", "epochs", "fit_s", "cpu_s", "flops", *PHASES]


def widths(rows: pd.DataFrame) -> pd.DataFrame:
    """Table widths: mean fit_s, cpu_s and flops of a trial by arm, rule and width.

    The phases are shares of their sum. Times are those of jobs as they ran, beside other work and
    with stacked trials sharing theirs equally: not a measurement.
    """
    found = []
    for key, part in rows.groupby(GROUP, sort=False):
        row = dict(zip(GROUP, key, strict=True)) | {"trials": len(part)}
        row |= {name: part[name].mean() for name in ("epochs", "fit_s", "cpu_s", "flops")}
        seconds = {phase: part[f"{phase}_s"].astype(float).sum() for phase in PHASES}
        total = sum(seconds.values())
        row |= {phase: s / total for phase, s in seconds.items() if total > 0}
        found.append(row)
    return together(found, WIDTHS)
