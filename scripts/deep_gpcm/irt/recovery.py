"""How well estimates recover the true parameters."""

import numpy as np

from scripts.deep_gpcm.irt.linking import aligned, linked, mean_sigma
from scripts.deep_gpcm.irt.parameters import Parameters


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


def recovery(estimates: Parameters, truth: Parameters) -> list[dict]:
    """A row for theta, alpha, beta_1, ...: n, correlation, bias, rmse, slope (spec 6).

    theta is compared over the students that both know, the others over the questions. `bias` and
    `rmse` are after linking by theta; `slope` (of the estimate on the truth) is before. All are
    NaN where fewer than two values are known or where they do not vary.
    """
    raw, true = aligned(estimates, truth)
    onto = linked(raw, *mean_sigma(raw.theta, true.theta))
    before, after, known = _columns(raw), _columns(onto), _columns(true)
    return [_row(name, before[name], after[name], known[name]) for name in known]
