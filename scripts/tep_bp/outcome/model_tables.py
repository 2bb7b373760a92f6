"""Tables of the model itself: residuals, error of the gradient, which solver ran, time by width.

Whether fixed points were reached, and how good the gradient is (docs/studies/tep_bp.md, Audit).
"""

import numpy as np
import pandas as pd

from scripts.lib.table_files import together
from scripts.tep_bp.specs import Row

WARN = 5e-2  # a 99th percentile of the free residual above it is reported
RESIDUAL_GROUP = ["arm", "role", "rule", "solver", "hidden"]
RESIDUALS = [*RESIDUAL_GROUP, "trials", "residual_free", "residual_free_worst", "residual_nudged",
             "residual_nudged_worst", "spectral_norm", "warned", "unbounded"]  # fmt: skip
BIAS = ["difference", "beta", "error", "cosine", "slope"]
ECONOMY = [
    *("solver", "verdict", "survives", "rounding", "outcome", "trials", "mean_difference"),
    *("low", "high", "networks", "share", "share_low", "share_high", "top_overlap", "top"),
    *("cosine", "cosine_worst", "cosine_of_exact_worst", "reasons"),
]
PHASES = ("data", "free", "nudged", "update", "evaluate")
WIDTH_GROUP = ["arm", "role", "rule", "hidden"]
WIDTHS = [*WIDTH_GROUP, "trials", "epochs", "fit_s", "cpu_s", "flops", *PHASES]


def residuals(rows: pd.DataFrame) -> pd.DataFrame:
    """Table residuals: p99 of |rho(a + hW) - h| by width, median and worst over trials.

    `warned`: share of trials above 5e-2, those whose residual is not finite included. `unbounded`:
    share whose nudged_bound is 1 or more, so that a unique nudged fixed point is not guaranteed.
    """
    found = []
    for key, part in rows[rows["solver"] != "none"].groupby(RESIDUAL_GROUP, sort=False):
        free, nudged, bound = (
            part[name].astype(float)
            for name in ("residual_free", "residual_nudged", "nudged_bound")
        )
        if free.isna().all() and (part["status"] == "ok").any():
            continue  # an arm that has no audit
        row = dict(zip(RESIDUAL_GROUP, key, strict=True)) | {"trials": len(part)}
        for name, values in (("residual_free", free), ("residual_nudged", nudged)):
            row |= {name: values.median(), f"{name}_worst": values.max()}
        row["spectral_norm"] = part["spectral_norm"].astype(float).max()
        row["warned"] = float((~(free <= WARN)).mean())
        row["unbounded"] = float((bound.dropna() >= 1).mean())
        found.append(row)
    return together(found, RESIDUALS)


def bias(gradient: pd.DataFrame) -> pd.DataFrame:
    """Table bias: relative error of the gradient by beta, the worst of equal beta.

    `slope` is d log error / d log beta from the next smaller beta; missing for the smallest.
    """
    table = gradient.groupby(["difference", "beta"]).agg({"error": "max", "cosine": "min"})
    table = table.reset_index().sort_values(["difference", "beta"], ascending=[False, True])
    logs = np.log(table[["error", "beta"]].astype(float).where(table[["error", "beta"]] > 0))
    steps = logs.groupby(table["difference"], sort=False).diff()
    return table.assign(slope=steps["error"] / steps["beta"])[BIAS].reset_index(drop=True)


def economy(gate: Row) -> pd.DataFrame:
    """Table economy: which solver the result ran with, and what the gate found per rounding."""
    told = {key: gate.get(key) for key in ("solver", "survives")}
    told |= {"verdict": gate.get("outcome"), "reasons": "; ".join(gate.get("reasons") or [])}
    told_by = enumerate(gate.get("roundings", []))
    rows = [row | told | {"rounding": rounding} for rounding, row in told_by]
    return together(rows, ECONOMY)


def widths(rows: pd.DataFrame) -> pd.DataFrame:
    """Table widths: mean fit_s, cpu_s and flops of a trial by arm, rule and width.

    The phases are shares of their sum. Times are those of jobs as they ran, beside other work and
    with stacked trials sharing theirs equally: not a measurement.
    """
    found = []
    for key, part in rows.groupby(WIDTH_GROUP, sort=False):
        row = dict(zip(WIDTH_GROUP, key, strict=True)) | {"trials": len(part)}
        row |= {name: part[name].mean() for name in ("epochs", "fit_s", "cpu_s", "flops")}
        seconds = {phase: part[f"{phase}_s"].astype(float).sum() for phase in PHASES}
        total = sum(seconds.values())
        row |= {phase: s / total for phase, s in seconds.items() if total > 0}
        found.append(row)
    return together(found, WIDTHS)
