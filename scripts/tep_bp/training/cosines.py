"""Whether two solvers give a trained network the same direction to learn."""

import torch

from scripts.lib.timing import Phases
from scripts.tep_bp.training.data import Data
from scripts.tep_bp.training.dynamics import Activation
from scripts.tep_bp.training.parameters import Parameters
from scripts.tep_bp.training.rules import tep
from scripts.tep_bp.training.stacked import batch, training
from scripts.tep_bp.trial import Trial

SAMPLES = 256
SETTLED = 200  # iterations after which nothing moves any more


@torch.inference_mode()
def cosines(data: Data, trial: Trial, train: dict, solvers: dict) -> tuple[float, float]:
    """Cosine of the economy's gradient and the plain one, and of the plain one and the settled one.

    Each is the smaller of W_x's and W's. The network is that of `trial` after training by the
    solver `plain`; the gradients are those of the first 256 training samples.
    """
    plain, economy = solvers["plain"], solvers["economy"]
    *_, (parameters, activation) = training(data, [trial], train, plain, Phases())

    def cosine(a: dict, b: dict) -> float:
        sides = [gradient(data, trial, parameters, activation, solver).views for solver in (a, b)]
        names = ("W_x", "W")
        pairs = [[side[name].flatten() for side in sides] for name in names]
        return min(torch.cosine_similarity(*pair, dim=0).item() for pair in pairs)

    settled = plain | {"free": SETTLED, "nudged": SETTLED}
    return cosine(economy, plain), cosine(plain, settled)


def gradient(
    data: Data, trial: Trial, parameters: Parameters, activation: Activation, solver: dict
) -> Parameters:
    """The trial's gradient on the first samples, in the layout of its parameters."""
    found = parameters.like()
    x, y = batch(data, torch.arange(min(SAMPLES, len(data.x)))[None])
    beta = torch.full((1, 1, 1), trial.beta, dtype=data.dtype)
    tep.gradient(x, y, parameters, activation, beta, solver, found, Phases())
    return found
