"""Tables of the outcome with numbers of their own: X has its truth, Y has not."""

import numpy as np
import pandas as pd

from scripts.deep_gpcm.outcome.scores import SCORES
from scripts.deep_gpcm.outcome.step_costs import LADDER

NAN = np.nan


def score_table() -> pd.DataFrame:
    """Every number is different; `unmasked` counts padding, Y has one fold and no ceiling."""
    rows = [
        ("X", "fused", "result", 5, 1.076, 0.025, 1.076),
        ("X", "gpcm", "classical", 5, 1.035, 0.021, 1.035),
        ("X", "bayes", "ceiling", 5, 1.029, 0.022, 1.029),
        ("X", "unmasked", None, 5, 0.725, 0.031, 1.111),
        ("Y", "fused", "result", 1, 1.3, NAN, 1.3),
    ]
    table = pd.DataFrame(rows, columns=[*SCORES[:6], "nll_answers"])
    other = table["arm"] != "fused"
    for place, name in enumerate(SCORES):
        if name not in table:
            table[name] = np.where(other | (not name.endswith(("difference", "low", "high"))),
                                   0.01 * place, NAN)  # fmt: skip
    table.loc[table["arm"] == "gpcm", ["nll_difference", "nll_low", "nll_high"]] = (
        *(-0.041, -0.055, -0.027),
    )
    return table.assign(common_folds=5)[SCORES]


def ladder_table() -> pd.DataFrame:
    """Baseline, its repetition, an arm that agrees, one that fails, one that was not tested."""
    common = {"workload": "step", "rounds": 5, "quantity": "fit_s", "fit_ms": 20.5, "cpu_ms": 19.5}
    rows = [
        {"contestant": "reference"},
        {"contestant": "reference_again", "ratio": 1.02, "low": 0.95, "high": 1.1,
         "verdict": "no difference found"},
        {"contestant": "fused", "ratio": 12.5, "low": 11.0, "high": 14.0, "noise_low": 0.95,
         "noise_high": 1.1, "agrees": True, "verdict": "less", "max_loss_difference": 2e-7},
        {"contestant": "no_erase", "agrees": False, "verdict": "not comparable",
         "reason": "<its> losses are far", "max_loss_difference": 0.0013},
        {"contestant": "tables", "verdict": "not comparable", "reason": "not tested"},
    ]  # fmt: skip
    table = pd.DataFrame([common | {"arm": row["contestant"]} | row for row in rows])
    table.loc[table["contestant"] == "reference_again", "arm"] = "reference"
    return table.assign(common_steps=120).reindex(columns=LADDER)


def learning_table() -> pd.DataFrame:
    """Two epochs; `no_erase` leaves the reference, `fused` lies on it, Y has no reference."""
    arms = [
        ("X", "reference", 0.0),
        ("X", "fused", 1e-7),
        ("X", "no_erase", 1e-3),
        ("Y", "fused", NAN),
    ]
    return pd.DataFrame(
        {"data": data, "arm": arm, "epoch": epoch, "folds": 2, "loss": 1.75 - 0.25 * epoch,
         "val_nll": 1.8 - 0.2 * epoch, "val_qwk": 0.3 * epoch, "loss_difference": off}
        for data, arm, off in arms for epoch in (1, 2)
    )  # fmt: skip


def outcome() -> dict[str, pd.DataFrame]:
    """All tables by name."""
    both = ["fused", "gpcm"]
    true = [-1.0, 0.0, 1.0]
    points = [("X", arm, name, value, value + 0.1) for arm in both for name in ("theta", "alpha")
              for value in true]  # fmt: skip
    recovery = [("X", arm, name, 5, 40, 0.9, 0.123, 0.2, 0.8, 0.5) for arm in [*both, "tables"]
                for name in ("theta", "alpha", "beta_1")]  # fmt: skip
    calibration = [("X", arm, 0.1 * k, 0.1 * k + 0.1, 10 * k, 0.1 * k + 0.05, 0.1 * k + 0.03)
                   if k else ("X", arm, 0.0, 0.1, 0, NAN, NAN)
                   for arm in both for k in (0, 5, 8)]  # fmt: skip
    counts = [((0, 0), 75), ((0, 1), 25), ((1, 0), 10), ((1, 1), 90)]
    confusion = [("X", arm, *cell, count) for arm in both for cell, count in counts]
    curves = [("X", arm, item, theta, category, 0.5, 0.5 + off * (theta > 0))
              for arm, off in (("fused", 0.25), ("gpcm", 0.05)) for item in (4, 2)
              for theta in (-1.0, 1.0) for category in (0, 1)]  # fmt: skip
    convergence = [("X", arm, float(t), 40, 1 / 2**t) for arm in [*both, "bayes"] for t in range(3)]
    start = ["data", "arm"]
    return {
        "scores": score_table(),
        "recovery": pd.DataFrame(recovery, columns=[*start, "parameter", "folds", "n",
                                 "correlation", "bias", "rmse", "slope", "ordered_share"]),
        "points": pd.DataFrame(points, columns=[*start, "parameter", "true", "estimate"]),
        "calibration": pd.DataFrame(calibration, columns=[*start, "low", "high", "count",
                                    "confidence", "accuracy"]),
        "confusion": pd.DataFrame(confusion, columns=[*start, "response", "predicted", "count"]),
        "convergence": pd.DataFrame(convergence, columns=[*start, "t", "n", "rmse"]),
        "categories": pd.DataFrame(curves, columns=[*start, "item", "theta", "category", "true",
                                   "estimate"]),
        "learning": learning_table(),
        "ladder": ladder_table(),
        "reading": pd.DataFrame(
            [("Y", "responses", "from 1, as no 0 occurs"), ("X", "quadrature nodes of gpcm", 161)],
            columns=["data", "what", "how"],
        ),
    }  # fmt: skip
