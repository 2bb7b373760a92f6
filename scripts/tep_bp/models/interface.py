"""What implementations share: samples, starting point, order of batches, form of the result.

Weights and orders are drawn by the trial's own seed (docs/studies/tep_bp.md, Model).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from scripts.lib.torch_rng import torch_rng
from scripts.tep_bp.data.store import Task
from scripts.tep_bp.options import Precision
from scripts.tep_bp.plans.space import Trial

SPECTRAL_NORM = 0.5  # of the recurrent weights at the start
Scores = Sequence[tuple[torch.Tensor, torch.Tensor]]
PIXEL = 255.0  # a byte of 255 stands for 1
# Losses that are compared sample by sample: before rounding has grown, and as many as say enough.
EARLY_EPOCH, EARLY_SAMPLES = 3, 300


@dataclass(frozen=True)
class Data:
    """x (N, D) and y (N,) to train on; held_x (M, D) and held_y (M,) to score on.

    x is uint8 (0 to 255 stands for 0 to 1), float32, or float64, which makes everything float64.
    """

    x: torch.Tensor
    y: torch.Tensor
    held_x: torch.Tensor
    held_y: torch.Tensor
    classes: int

    @property
    def dtype(self) -> torch.dtype:
        return torch.float64 if self.x.dtype == torch.float64 else torch.float32

    def on(self, device: torch.device) -> "Data":
        """The same samples there."""
        names = ("x", "y", "held_x", "held_y")
        return replace(self, **{name: getattr(self, name).to(device) for name in names})


def data_of(task: Task, parts: Sequence[str], held: str, precision: Precision = "single") -> Data:
    """Training samples of `parts`, in order of row number, and scoring samples of `held`.

    In double precision they are the float32 numbers, as float64.
    """
    rows = torch.cat([torch.from_numpy(task.parts[part]) for part in parts]).sort().values
    x, y = torch.from_numpy(task.x), torch.from_numpy(task.y)
    scored = torch.from_numpy(task.parts[held])
    if precision == "double":
        x = numbers(x).double()
    return Data(x[rows], y[rows], x[scored], y[scored], task.classes)


def numbers(x: torch.Tensor) -> torch.Tensor:
    """Samples as floating-point numbers: bytes become float32 of 0 to 1."""
    return x.float() / PIXEL if x.dtype == torch.uint8 else x


@dataclass(frozen=True)
class Fit:
    """Scores on the held samples, the audit of the fixed points, the work and its cost.

    `curve` and `losses` have one accuracy and one mean cross-entropy per epoch, or only the last
    where training was not watched. `early` has the cross-entropies of the first 300 held samples
    after 3 epochs, or after the last before; `late` (M,) how often each held sample is right in
    the last third of the epochs. `predicted` (M,) has the final class of each.
    `diverged_epoch` is the first epoch (from 1) after which a parameter is not finite, or None.
    `cost` has fit_s, cpu_s and one <phase>_s each (data, free, nudged, update, evaluate); trials
    that were stacked share theirs equally. `audit` has what a rule with fixed points reports:
    residual_free, residual_free_max, residual_nudged, spectral_norm, nudged_bound.
    """

    curve: list[float]
    losses: list[float]
    early: list[float]
    late: list[float]
    predicted: np.ndarray
    diverged_epoch: int | None
    parameter_hash: str
    n_parameters: int
    n_steps: int
    flops: float
    cost: dict[str, float]
    audit: dict[str, float] = field(default_factory=dict)

    @property
    def status(self) -> str:
        return "ok" if self.diverged_epoch is None else "diverged"

    @property
    def accuracy(self) -> float:
        """At the last epoch."""
        return self.curve[-1]

    @property
    def loss(self) -> float | None:
        """At the last epoch; None if it is not finite."""
        return self.losses[-1] if math.isfinite(self.losses[-1]) else None


def sample_losses(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Cross-entropy (M,) of each held sample in float64: a score adds no rounding of its own."""
    return torch.nn.functional.cross_entropy(logits.double(), y, reduction="none")


def watched(scores: Scores, y: torch.Tensor) -> dict[str, Any]:
    """Fields of a fit that tell its epochs: curve, losses, early, late and predicted.

    `scores` has the classes and the cross-entropies (M,) after every epoch scored, on any device.
    """
    scores = [(classes.cpu(), losses.cpu()) for classes, losses in scores]
    right = [(classes == y).double() for classes, _ in scores]
    late = right[-max(1, len(right) // 3) :]
    _, early = scores[:EARLY_EPOCH][-1]
    return {
        "curve": [hits.mean().item() for hits in right],
        "losses": [losses.mean().item() for _, losses in scores],
        "early": early[:EARLY_SAMPLES].tolist(),
        "late": (torch.stack(late).sum(0) / len(late)).tolist(),
        "predicted": scores[-1][0].numpy(),
    }


def initial(trial: Trial, inputs: int, classes: int, rerounded: int = 0) -> dict[str, torch.Tensor]:
    """W_x (D, d), b (d,), W (d, d), W_o (d, C), b_o (C,) and u (d,), all float64.

    W_x and W_o are Xavier-uniform, biases zero, W a symmetrised standard normal of spectral norm
    0.5, u the normalised start of the power iteration. `rerounded` k moves each entry of the
    matrices to a neighbour in float32, so that rounding goes another way. Random: each by the
    stream (trial.seed, its name), so that rules which lack one draw the others alike; directions
    by (trial.seed, "rerounded-k", its name).
    """
    d = trial.hidden
    w = _normal(trial, "W", d, d)
    w = w + w.T
    u = _normal(trial, "u", d)
    start = {
        "W_x": _xavier(trial, "W_x", inputs, d),
        "b": torch.zeros(d, dtype=torch.float64),
        "W": w * (SPECTRAL_NORM / torch.linalg.matrix_norm(w, 2)),
        "W_o": _xavier(trial, "W_o", d, classes),
        "b_o": torch.zeros(classes, dtype=torch.float64),
        "u": u / u.norm(),
    }
    if rerounded:
        for name in ("W_x", "W", "W_o"):
            start[name] = _neighbours(start[name], trial, f"rerounded-{rerounded}", name)
    return start


def batch_orders(trial: Trial) -> torch.Generator:
    """The generator of the trial's permutations, one `torch.randperm(N)` per epoch."""
    return torch_rng(trial.seed, "order")


def _neighbours(values: torch.Tensor, trial: Trial, *labels: str) -> torch.Tensor:
    """Each value's next number in float32, above or below; a square of them stays symmetric."""
    above = torch.rand(values.shape, generator=torch_rng(trial.seed, *labels)) < 0.5
    if values.shape[0] == values.shape[1]:
        above = above.triu() | above.triu().T
    reach = torch.where(above, torch.inf, -torch.inf)
    return torch.nextafter(values.float(), reach).double()


def _normal(trial: Trial, name: str, *shape: int) -> torch.Tensor:
    rng = torch_rng(trial.seed, name)
    return torch.randn(*shape, generator=rng, dtype=torch.float64)


def _xavier(trial: Trial, name: str, rows: int, columns: int) -> torch.Tensor:
    reach = math.sqrt(6 / (rows + columns))
    rng = torch_rng(trial.seed, name)
    return (torch.rand(rows, columns, generator=rng, dtype=torch.float64) * 2 - 1) * reach
