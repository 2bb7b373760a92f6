"""Floating-point operations of a trial by its formulas, however it is computed (spec 5.1)."""

from scripts.tep_bp.training.data import Data
from scripts.tep_bp.trial import Trial


def trial_flops(trial: Trial, data: Data, train: dict, solver: dict) -> float:
    """Products of the whole training and of the scoring; elementwise work is not counted."""
    inputs, d = data.x.shape[1], trial.hidden
    step, reading, driving = 2 * d * d, 2 * data.classes * d, 2 * inputs * d
    forward = driving + reading
    backward = driving + 2 * reading
    if trial.rule != "bp":
        forward += solver["free"] * step
        backward += 2 * step - reading
        loops = {"tep": 2 * (step + 2 * reading), "rbp": step}[trial.rule]
        backward += solver["nudged"] * loops + (reading if trial.rule == "rbp" else 0)
    scorings = train["epochs"] if train["watch"] else 1
    trained = len(data.x) * train["epochs"] * (forward + backward)
    return float(trained + len(data.held_x) * scorings * forward)
