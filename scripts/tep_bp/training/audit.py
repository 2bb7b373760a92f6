"""How far a trained loop is from its fixed points, and whether it has one (spec 7.1)."""

import torch
from torch.linalg import matrix_norm

from scripts.tep_bp.training.data import Data, numbers
from scripts.tep_bp.trial import Trial

SAMPLES = 1000  # held samples that are audited at most
QUANTILE = 0.99


def audit(own: dict[str, torch.Tensor], data: Data, trial: Trial, solver: dict) -> dict:
    """Residuals |rho(a + h W) - h| after the phases, and norms, of one trial.

    `own` has its parameters. Keys: residual_free (99th percentile over units and held samples),
    residual_free_max, spectral_norm; of `tep` too residual_nudged (towards the truth) and
    nudged_bound, ||W|| + |beta| / 2 ||W_o||^2, below 1 where the nudged state surely is unique.
    Empty for bp, and where a parameter is not finite.
    """
    if trial.rule == "bp" or not all(value.isfinite().all() for value in own.values()):
        return {}
    rho = {"tanh": torch.tanh, "relu": torch.relu}[trial.activation]
    driven = numbers(data.held_x[:SAMPLES]) @ own["W_x"] + own["b"]

    def settle(h: torch.Tensor, nudge, steps: int) -> tuple[torch.Tensor, torch.Tensor]:
        previous = h
        for _ in range(steps):
            image = rho(driven + h @ own["W"] - nudge(h))
            moved = h + solver["omega"] * (image - h) + solver["mu"] * (h - previous)
            h, previous = moved, h
        return h, (rho(driven + h @ own["W"] - nudge(h)) - h).abs().flatten()

    free, residual = settle(torch.zeros_like(driven), lambda h: 0.0, solver["free"])
    norm = matrix_norm(own["W"], 2).item()
    found = {"residual_free": residual.quantile(QUANTILE).item()}
    found |= {"residual_free_max": residual.max().item(), "spectral_norm": norm}
    if trial.rule == "tep":
        truth = torch.eye(data.classes, dtype=data.dtype)[data.held_y[:SAMPLES]]

        def nudge(h: torch.Tensor) -> torch.Tensor:
            p = torch.softmax(h @ own["W_o"] + own["b_o"], dim=1)
            return trial.beta * (p - truth) @ own["W_o"].T

        _, residual = settle(free, nudge, solver["nudged"])
        found["residual_nudged"] = residual.quantile(QUANTILE).item()
        found["nudged_bound"] = norm + abs(trial.beta) / 2 * matrix_norm(own["W_o"], 2).item() ** 2
    return found
