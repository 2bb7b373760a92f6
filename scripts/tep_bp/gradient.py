"""How far the learning rule is from the exact gradient, by strength of the nudge: gradient.parquet.

Columns beta, difference (centred or one_sided), error (relative, of all parameters together) and
cosine; in float64, at fixed points, on a partly trained network. The exact gradient is that of
autograd through the unrolled iterations (docs/studies/tep_bp.md, Energy gradient).
"""

from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from scripts.lib.seeds import seed63, stream
from scripts.lib.stage import stage
from scripts.lib.table_files import write_table
from scripts.lib.timing import Phases
from scripts.tep_bp.data.store import read_task
from scripts.tep_bp.models.interface import Data, data_of, numbers
from scripts.tep_bp.models.reference.learning_rules import tep
from scripts.tep_bp.models.reference.networks import ACTIVATIONS, Recurrent
from scripts.tep_bp.models.stacked.stacked import training
from scripts.tep_bp.options import Solver
from scripts.tep_bp.plans.space import Trial
from scripts.tep_bp.specs import GradientJob, Row

SAMPLES = 64  # of the training samples, whose gradient is estimated
DIFFERENCES = ("one_sided", "centred")
NAMES = ("W_x", "b", "W", "W_o", "b_o")


def exact_gradient(
    parameters: dict[str, Tensor], x: Tensor, y: Tensor, activation: str, steps: int
) -> dict[str, Tensor]:
    """Gradients of the mean cross-entropy after `steps` plain iterations from 0.

    `parameters` has W_x (D, d), b (d,), W (d, d), W_o (d, C), b_o (C,) of one dtype, that of
    x (B, D); y (B,) int64. W enters as (W + W.T) / 2, so its gradient is symmetric.
    """
    leaves = [parameters[name].detach().clone().requires_grad_() for name in NAMES]
    with torch.enable_grad():
        w_x, b, w, w_o, b_o = leaves
        drive, loop, rho = x @ w_x + b, (w + w.T) / 2, ACTIVATIONS[activation]
        h = torch.zeros_like(drive)
        for _ in range(steps):
            h = rho(drive + h @ loop)
        cost = F.cross_entropy(h @ w_o + b_o, y)
        return dict(zip(NAMES, torch.autograd.grad(cost, leaves), strict=True))


def trial_of(job: GradientJob) -> Trial:
    """The trial whose network it is shown on."""
    options = job.gradient
    return Trial(
        rule="tep",
        trial=0,
        hidden=options.hidden,
        batch=options.batch,
        lr=options.lr,
        weight_decay=0.0,
        activation=options.activation,
        beta=options.beta,
        seed=seed63(stream(job.seed, "tep_bp", "gradient")),
    )


def biases(data: Data, job: GradientJob) -> list[Row]:
    """A row per beta and difference: beta, difference, error (relative, Euclidean), cosine.

    Training beforehand is in float64 too. Random: by the trial's seed.
    """
    data = replace(data, x=numbers(data.x).double(), held_x=numbers(data.held_x).double())
    trial, steps = trial_of(job), job.gradient.steps
    with torch.inference_mode():
        *_, (parameters, _) = training(data, [trial], job.train, job.solver, Phases())
        own = parameters.of(0)
    own = {name: value.clone() for name, value in own.items()}
    x, y = data.x[:SAMPLES], data.y[:SAMPLES]
    exact = exact_gradient(own, x, y, trial.activation, steps)
    truth = torch.cat([exact[name].flatten() for name in NAMES])
    solver = Solver(omega=1.0, mu=0.0, free=steps, nudged=steps)
    net = Recurrent(own | {"u": torch.ones_like(own["b"])}, trial.activation, solver)
    rows = []
    for beta in job.gradient.betas:
        for difference in DIFFERENCES:
            train = job.train.model_copy(update={"difference": difference})
            tep(net, x, y, trial._replace(beta=beta), train, Phases())
            estimate = torch.cat([getattr(net, name).grad.flatten() for name in NAMES])
            row = {"beta": beta, "difference": difference}
            row["error"] = ((estimate - truth).norm() / truth.norm()).item()
            row["cosine"] = torch.cosine_similarity(estimate, truth, dim=0).item()
            rows.append(row)
    return rows


def main(spec: GradientJob, task: Path, gradient: Path) -> None:
    write_table(gradient, biases(data_of(read_task(task), ["train"], "val"), spec))


if __name__ == "__main__":
    stage(main)
