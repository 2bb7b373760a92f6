"""Whether fixed points were reached, how good the gradient from them is, and which solver ran."""

import numpy as np
import pandas as pd

from scripts.tep_bp.outcome.rows import together

WARN = 5e-2  # spec 7.1: a p99 of the free residual above it is reported
GROUP = ["arm", "role", "rule", "solver", "hidden"]
RESIDUALS = [*GROUP, "trials", "residual_free", "residual_free_worst", "residual_nudged",
             "residual_nudged_worst", "spectral_norm", "warned", "unbounded"]  # fmt: skip
BIAS = ["difference", "beta", "error", "cosine", "slope"]
ECONOMY = [
    *("solver", "passed", "trials", "mean_difference", "low", "high", "top_overlap", "top"),
    *("networks", "cosine", "cosine_worst", "cosine_of_exact_worst", "reasons"),
]


def residuals(rows: pd.DataFrame) -> pd.DataFrame:
    """Table residuals: p99 of |rho(a + hW) - h| by width, median and worst over trials.

    `warned`: share of trials above 5e-2, those whose residual is not finite included. `unbounded`:
    share whose nudged_bound is 1 or more, so that a unique nudged fixed point is not guaranteed.
    """
    found = []
    for key, part in rows[rows["solver"] != "none"].groupby(GROUP, sort=False):
        free, nudged, bound = (
            part[name].astype(float)
            for name in ("residual_free", "residual_nudged", "nudged_bound")
        )
        if free.isna().all() and (part["status"] == "ok").any():
            continue  # an arm that has no audit
        row = dict(zip(GROUP, key, strict=True)) | {"trials": len(part)}
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


def economy(gate: dict) -> pd.DataFrame:
    """Table economy: which solver the result ran with, and what the gate found; a row, if any."""
    rows = [gate | {"reasons": "; ".join(gate.get("reasons") or [])}] if gate else []
    return together(rows, ECONOMY)
