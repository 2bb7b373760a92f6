"""Everything compiled at once, so that no trial has to."""

import torch

from scripts.tep_bp.models.fused.fit import fit_fused
from scripts.tep_bp.models.interface import Data
from scripts.tep_bp.options import Solver, Training
from scripts.tep_bp.plans.space import Trial

TRAIN = Training(
    epochs=1, betas=[0.9, 0.999], adam_eps=1e-8, spectral_cap=0.9, power_steps=1, watch=False,
    difference="centred", workers=0, persistent=False, proposal="none",
)  # fmt: skip
SOLVER = Solver(omega=1.0, mu=0.0, free=1, nudged=1)


def compile_all() -> None:
    """Train smallest trials on numbers and on bytes: activations and solvers share code."""
    y = torch.tensor([0, 1])
    trials = [Trial(rule, 0, 8, 2, 0.01, 0.0, "tanh", 0.1, 0) for rule in ("tep", "bp")]
    for kind in (torch.float32, torch.uint8):
        x = torch.tensor([[0], [1]], dtype=kind)
        fit_fused(Data(x, y, x, y, 2), trials, TRAIN, SOLVER)
