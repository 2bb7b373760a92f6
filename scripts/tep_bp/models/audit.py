"""What is reported of a trained trial, whichever implementation trained it.

How far its loop is from its fixed points and whether it has one, its floating-point operations by
formula, its number of parameters and their hash (docs/studies/tep_bp.md, Audit and Cost).
"""

import hashlib

import torch
from torch.linalg import matrix_norm

from scripts.tep_bp.models.interface import Data, numbers
from scripts.tep_bp.options import Solver, Training
from scripts.tep_bp.plans.space import Trial

SAMPLES = 1000  # held samples that are audited at most
QUANTILE = 0.99


def audit(own: dict[str, torch.Tensor], data: Data, trial: Trial, solver: Solver | None) -> dict:
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

    def solve(h: torch.Tensor, nudge, steps: int) -> tuple[torch.Tensor, torch.Tensor]:
        previous = h
        for _ in range(steps):
            image = rho(driven + h @ own["W"] - nudge(h))
            new = h + solver.omega * (image - h) + solver.mu * (h - previous)
            h, previous = new, h
        return h, (rho(driven + h @ own["W"] - nudge(h)) - h).abs().flatten()

    free, residual = solve(torch.zeros_like(driven), lambda h: 0.0, solver.free)
    norm = matrix_norm(own["W"], 2).item()
    found = {"residual_free": residual.quantile(QUANTILE).item()}
    found |= {"residual_free_max": residual.max().item(), "spectral_norm": norm}
    if trial.rule == "tep":
        truth = torch.eye(data.classes, dtype=data.dtype)[data.held_y[:SAMPLES]]

        def nudge(h: torch.Tensor) -> torch.Tensor:
            p = torch.softmax(h @ own["W_o"] + own["b_o"], dim=1)
            return trial.beta * (p - truth) @ own["W_o"].T

        _, residual = solve(free, nudge, solver.nudged)
        found["residual_nudged"] = residual.quantile(QUANTILE).item()
        found["nudged_bound"] = norm + abs(trial.beta) / 2 * matrix_norm(own["W_o"], 2).item() ** 2
    return found


def trial_flops(trial: Trial, data: Data, train: Training, solver: Solver | None) -> float:
    """Products of the whole training and of the scoring; elementwise work is not counted."""
    inputs, d = data.x.shape[1], trial.hidden
    step, reading, driving = 2 * d * d, 2 * data.classes * d, 2 * inputs * d
    forward = driving + reading
    backward = driving + 2 * reading
    if trial.rule != "bp":
        forward += solver.free * step
        backward += 2 * step - reading
        loops = {"tep": 2 * (step + 2 * reading), "rbp": step}[trial.rule]
        backward += solver.nudged * loops + (reading if trial.rule == "rbp" else 0)
    scorings = train.epochs if train.watch else 1
    trained = len(data.x) * train.epochs * (forward + backward)
    return float(trained + len(data.held_x) * scorings * forward)


def parameter_hash(own: dict[str, torch.Tensor]) -> str:
    """First 16 hexadecimal digits of the SHA-256 of W_x, b, W, W_o, b_o as float32."""
    content = hashlib.sha256()
    for name in ("W_x", "b", "W", "W_o", "b_o"):
        if name in own:
            content.update(own[name].float().contiguous().numpy().tobytes())
    return content.hexdigest()[:16]


def n_parameters(own: dict[str, torch.Tensor]) -> int:
    """Free parameters of a trial: W is symmetric, so it has d (d + 1) / 2."""
    count = sum(value.numel() for value in own.values())
    d = len(own["b"])
    return count - d * (d - 1) // 2 if "W" in own else count
