"""How stacked trials do on the held samples."""

import torch
from torch.nn import functional

from scripts.tep_bp.training.data import Data, numbers
from scripts.tep_bp.training.dynamics import Activation, drive, free_phase
from scripts.tep_bp.training.parameters import Parameters
from scripts.tep_bp.training.rules.head import logits

ROWS = 2048  # held samples at a time: a number of memory, not of the stack


def predict(
    parameters: Parameters, data: Data, activation: Activation, solver: dict
) -> tuple[torch.Tensor, torch.Tensor]:
    """Classes (T, M) of the held samples, and their mean cross-entropy (T,)."""
    trials, held = len(parameters.flat), len(data.held_x)
    classes, total = [], 0.0
    for start in range(0, held, ROWS):
        x, y = numbers(data.held_x[start : start + ROWS]), data.held_y[start : start + ROWS]
        driven = drive(x.expand(trials, -1, -1), parameters.W_x, parameters.b)
        recurrent = "W" in parameters.views
        h = (
            free_phase(driven, parameters.W, activation, solver)
            if recurrent
            else activation(driven)
        )
        found = logits(h, parameters)[..., : data.classes]
        classes.append(found.argmax(-1))
        # Per trial: a mean over the stack would depend on who is in it.
        losses = [functional.cross_entropy(one, y, reduction="sum") for one in found]
        total = total + torch.stack(losses)
    return torch.cat(classes, dim=1), total / held
