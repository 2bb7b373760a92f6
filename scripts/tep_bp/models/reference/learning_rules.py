"""The learning rules: each leaves the gradient of the mean cross-entropy of a batch in `.grad`.

All book their phases on the clock: what leads to the prediction is `free`, what leads from the
error to the gradient is `nudged`. Formulas: docs/studies/tep_bp.md, Energy gradient and Learning
rules.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from scripts.lib.timing import Phases
from scripts.tep_bp.models.reference.networks import Perceptron, Recurrent, relaxed
from scripts.tep_bp.options import Training
from scripts.tep_bp.plans.space import Trial


def bp(net: Perceptron, x: Tensor, y: Tensor, trial: Trial, train: Training, clock: Phases) -> None:
    """Ordinary backpropagation."""
    loss = F.cross_entropy(net(x), y)
    clock.lap("free")
    net.zero_grad()
    loss.backward()
    clock.lap("nudged")


@torch.no_grad()
def tep(net: Recurrent, x: Tensor, y: Tensor, trial: Trial, train: Training, clock: Phases) -> None:
    """Equilibrium propagation: what a nudge of strength beta shifts.

    `train.difference` is centred (nudged both ways; bias O(beta^2)) or one_sided (O(beta));
    with the proposal bfloat16 both phases are computed in it.
    """
    with torch.autocast(x.device.type, torch.bfloat16, enabled=train.proposal == "bfloat16"):
        drive = net.drive(x)
        free = net.free(drive)
        clock.lap("free")
        plus = nudged(net, drive, free, y, trial.beta)
        if train.difference == "centred":
            minus, span = nudged(net, drive, free, y, -trial.beta), 2 * trial.beta
        else:
            minus, span = free, trial.beta
        clock.lap("nudged")
    free, plus, minus = (h.to(x.dtype) for h in (free, plus, minus))
    span *= len(x)
    shift = minus - plus
    net.W_x.grad = x.T @ shift / span
    net.b.grad = shift.sum(0) / span
    net.W.grad = (minus.T @ minus - plus.T @ plus) / (2 * span)
    head_gradient(net, free, error(net, free, y))


@torch.no_grad()
def rbp(net: Recurrent, x: Tensor, y: Tensor, trial: Trial, train: Training, clock: Phases) -> None:
    """Recurrent backpropagation: the implicit gradient, by iterating the adjoint.

    The slope is that of the activation one iteration on: the heavy ball leaves idle relu units at
    tiny values of either sign, which would not say that they are idle.
    """
    drive = net.drive(x)
    h = net.free(drive)
    clock.lap("free")
    wrong, slope = error(net, h, y), net.slope(net.loop(drive, h))
    cost_gradient = wrong @ net.W_o.T / len(x)

    def step(adjoint: Tensor) -> Tensor:
        return torch.addmm(cost_gradient, adjoint, net.W) * slope

    adjoint = relaxed(step, torch.zeros_like(h), net.solver.nudged, net.solver)
    clock.lap("nudged")
    net.W_x.grad = x.T @ adjoint
    net.b.grad = adjoint.sum(0)
    net.W.grad = (h.T @ adjoint + adjoint.T @ h) / 2
    head_gradient(net, h, wrong)


RULES = {"tep": tep, "rbp": rbp, "bp": bp}


def nudged(net: Recurrent, drive: Tensor, h: Tensor, y: Tensor, beta: float) -> Tensor:
    """States (B, d) of the phase nudged by `beta`, iterated from h."""

    def step(h: Tensor) -> Tensor:
        return nudged_loop(net, drive, h, y, beta)

    return relaxed(step, h, net.solver.nudged, net.solver)


def nudged_loop(net: Recurrent, drive: Tensor, h: Tensor, y: Tensor, beta: float) -> Tensor:
    """One iteration, rho(drive + h W - beta dC/dh), each sample nudged by its own cost alone."""
    with torch.enable_grad():
        h = h.detach().requires_grad_()
        cost = F.cross_entropy(net.logits(h), y, reduction="sum")
        (slope,) = torch.autograd.grad(cost, h)
    return net.loop(drive - beta * slope, h.detach())


def error(net: Recurrent, h: Tensor, y: Tensor) -> Tensor:
    """Probabilities less the one-hot class, (B, C)."""
    return net.logits(h).softmax(1) - F.one_hot(y, len(net.b_o))


def head_gradient(net: Recurrent, h: Tensor, wrong: Tensor) -> None:
    """The gradient of the head, exact at the free states h."""
    net.W_o.grad = h.T @ wrong / len(h)
    net.b_o.grad = wrong.mean(0)
