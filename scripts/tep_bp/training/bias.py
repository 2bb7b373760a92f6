"""The error of equilibrium propagation against the exact gradient, by strength of the nudge."""

from dataclasses import replace

import torch

from scripts.lib.timing import Phases
from scripts.tep_bp.training.data import Data, numbers
from scripts.tep_bp.training.exact import NAMES, exact_gradient
from scripts.tep_bp.training.reference.networks import Recurrent
from scripts.tep_bp.training.reference.rules import tep
from scripts.tep_bp.training.stacked import training
from scripts.tep_bp.trial import Trial

SAMPLES = 64
DIFFERENCES = ("one_sided", "centred")


def biases(data: Data, spec: dict) -> list[dict]:
    """A row per beta and difference: beta, difference, error (relative, Euclidean), cosine.

    spec: trial (fields of a Trial), train and solver (of the training beforehand, in float64),
    betas, and steps, the iterations of every solve. Random: by the trial's seed.
    """
    data = replace(data, x=numbers(data.x).double(), held_x=numbers(data.held_x).double())
    trial = Trial(**spec["trial"])
    with torch.inference_mode():
        *_, (parameters, _) = training(data, [trial], spec["train"], spec["solver"], Phases())
        own = parameters.of(0)
    own = {name: value.clone() for name, value in own.items()}
    x, y = data.x[:SAMPLES], data.y[:SAMPLES]
    exact = exact_gradient(own, x, y, trial.activation, spec["steps"])
    truth = torch.cat([exact[name].flatten() for name in NAMES])
    solver = {"omega": 1.0, "mu": 0.0, "free": spec["steps"], "nudged": spec["steps"]}
    net = Recurrent(own | {"u": torch.ones_like(own["b"])}, trial.activation, solver)
    rows = []
    for beta in spec["betas"]:
        for difference in DIFFERENCES:
            nudged = trial._replace(beta=beta)
            tep(net, x, y, nudged, spec["train"] | {"difference": difference}, Phases())
            found = torch.cat([getattr(net, name).grad.flatten() for name in NAMES])
            row = {"beta": beta, "difference": difference}
            row["error"] = ((found - truth).norm() / truth.norm()).item()
            row["cosine"] = torch.cosine_similarity(found, truth, dim=0).item()
            rows.append(row)
    return rows
