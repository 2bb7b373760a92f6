"""Where a trial starts: its weights and the order of its batches, drawn by its own seed."""

import math

import torch

from scripts.lib.torch_rng import torch_rng
from scripts.tep_bp.plans.space import Trial

SPECTRAL_NORM = 0.5  # of the recurrent weights at the start


def initial(trial: Trial, inputs: int, classes: int) -> dict[str, torch.Tensor]:
    """W_x (D, d), b (d,), W (d, d), W_o (d, C), b_o (C,) and u (d,), all float64.

    W_x and W_o are Xavier-uniform, biases zero, W a symmetrised standard normal of spectral norm
    0.5, u the normalised start of the power iteration. Random: each by the stream (trial.seed,
    its name), so that rules which lack one draw the others alike.
    Source: docs/studies/tep_bp.md, Model.
    """
    d = trial.hidden
    w = _normal(trial, "W", d, d)
    w = w + w.T
    u = _normal(trial, "u", d)
    return {
        "W_x": _xavier(trial, "W_x", inputs, d),
        "b": torch.zeros(d, dtype=torch.float64),
        "W": w * (SPECTRAL_NORM / torch.linalg.matrix_norm(w, 2)),
        "W_o": _xavier(trial, "W_o", d, classes),
        "b_o": torch.zeros(classes, dtype=torch.float64),
        "u": u / u.norm(),
    }


def batch_orders(trial: Trial) -> torch.Generator:
    """The generator of the trial's permutations, one `torch.randperm(N)` per epoch."""
    return torch_rng(trial.seed, "order")


def _normal(trial: Trial, name: str, *shape: int) -> torch.Tensor:
    rng = torch_rng(trial.seed, name)
    return torch.randn(*shape, generator=rng, dtype=torch.float64)


def _xavier(trial: Trial, name: str, rows: int, columns: int) -> torch.Tensor:
    reach = math.sqrt(6 / (rows + columns))
    rng = torch_rng(trial.seed, name)
    return (torch.rand(rows, columns, generator=rng, dtype=torch.float64) * 2 - 1) * reach
