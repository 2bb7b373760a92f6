"""The learning rules on stacked trials: each writes the gradient of the mean cross-entropy.

bp: ordinary backprop of a network with one hidden layer. rbp: recurrent backprop, the exact
gradient of the fixed point, by its adjoint. tep: equilibrium propagation, by two nudged fixed
points (docs/studies/tep_bp.md, Energy gradient and Learning rules). For every rule the time until
the error is known is booked as `free`, that of the error's way back as `nudged`.
"""

import torch

from scripts.lib.timing import Phases
from scripts.tep_bp.models.stacked.dynamics import Activation, drive, free_phase, iterate
from scripts.tep_bp.models.stacked.parameters import Parameters, like, rows
from scripts.tep_bp.options import Solver


def probabilities(h: torch.Tensor, parameters: Parameters) -> torch.Tensor:
    """Softmax over the padded classes, (T, rows, C'); those that only pad have exactly 0."""
    return torch.softmax(logits(h, parameters), dim=-1)


def logits(h: torch.Tensor, parameters: Parameters) -> torch.Tensor:
    """Output of the head at the states, (T, rows, C')."""
    buffer = like(h[:, :, :1].expand(-1, -1, parameters.W_o.shape[2]))
    return torch.baddbmm(parameters.b_o, h, parameters.W_o, out=buffer)


def subtract_truth(p: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """p - onehot(y) in place: the gradient of each sample's cross-entropy by its logits."""
    return p.scatter_add_(2, y.unsqueeze(2), p.new_full((1, 1, 1), -1.0).expand(*y.shape, 1))


def head_gradient(h: torch.Tensor, error: torch.Tensor, gradient: Parameters) -> None:
    """Write the gradient of the mean cross-entropy by W_o and b_o, exact at the states."""
    n = h.shape[1]
    gradient.W_o[:] = torch.bmm(h.mT, error).div_(n)
    gradient.b_o[:] = error.sum(1, keepdim=True).div_(n)


def bp(
    x: torch.Tensor,
    y: torch.Tensor,
    parameters: Parameters,
    activation: Activation,
    beta: torch.Tensor,
    solver: Solver,
    gradient: Parameters,
    phases: Phases,
) -> None:
    """Write the gradient of the mean cross-entropy to `gradient`; beta and solver are not read."""
    h = activation(drive(x, parameters.W_x, parameters.b))
    phases.lap("free")
    error = subtract_truth(probabilities(h, parameters), y)
    back = torch.bmm(error, parameters.W_o.mT).mul_(activation.slope(h)).div_(h.shape[1])
    phases.lap("nudged")
    gradient.W_x[:] = torch.bmm(x.mT, back)
    gradient.b[:] = back.sum(1, keepdim=True)
    head_gradient(h, error, gradient)


def adjoint(
    driven: torch.Tensor,
    h: torch.Tensor,
    error: torch.Tensor,
    parameters: Parameters,
    activation: Activation,
    solver: Solver,
) -> torch.Tensor:
    """lambda = (error W_o' + lambda W) * rho'(.) of each sample, iterated from 0, (T, n, d).

    The slope is that of the next image: the heavy ball leaves idle relu units at tiny values of
    either sign, which would not say that they are idle.
    """
    next_sum = torch.baddbmm(driven, h, parameters.W, out=like(h))
    slope = activation.slope(activation(next_sum))
    cost_gradient = torch.bmm(error, parameters.W_o.mT)

    def image(state: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        return torch.baddbmm(cost_gradient, state, parameters.W, out=out).mul_(slope)

    first = torch.mul(cost_gradient, slope, out=like(h))
    return iterate(first, like(h).zero_(), image, solver.nudged, solver)


def rbp(
    x: torch.Tensor,
    y: torch.Tensor,
    parameters: Parameters,
    activation: Activation,
    beta: torch.Tensor,
    solver: Solver,
    gradient: Parameters,
    phases: Phases,
) -> None:
    """Write the gradient of the mean cross-entropy to `gradient`; `beta` is not read."""
    driven = drive(x, parameters.W_x, parameters.b)
    h = free_phase(driven, parameters.W, activation, solver)
    phases.lap("free")
    error = subtract_truth(probabilities(h, parameters), y)
    adjoint_state = adjoint(driven, h, error, parameters, activation, solver)
    phases.lap("nudged")
    n = h.shape[1]
    gradient.W_x[:] = torch.bmm(x.mT, adjoint_state).div_(n)
    gradient.b[:] = adjoint_state.sum(1, keepdim=True).div_(n)
    product = torch.bmm(h.mT, adjoint_state)
    gradient.W[:] = product.add(product.mT).div_(2 * n)
    head_gradient(h, error, gradient)


def nudged_states(
    h: torch.Tensor,
    error: torch.Tensor,
    driven: torch.Tensor,
    y: torch.Tensor,
    parameters: Parameters,
    activation: Activation,
    beta: torch.Tensor,
    solver: Solver,
) -> torch.Tensor:
    """States nudged towards the truth, then those nudged away from it, as rows (T, 2 n, d).

    h (T, n, d) is the free state, error (T, n, C') its p - onehot, beta (T, 1, 1). The nudge is
    that of each sample by itself, in closed form; both phases start at h.
    """
    n, (w, w_o) = h.shape[1], (parameters.W, parameters.W_o)
    back = (w_o * beta).mT
    sign = h.new_ones(2 * n, 1)
    sign[:n] = -1
    # The first images share a product and need no new probabilities.
    unnudged, nudge = torch.baddbmm(driven, h, w, out=like(h)), torch.bmm(error, back)
    first = rows(len(h), 2 * n, h.shape[2], h.dtype, h.device)
    torch.sub(unnudged, nudge, out=first[:, :n])
    torch.add(unnudged, nudge, out=first[:, n:])
    start, both = like(first), like(first)
    for part in (slice(None, n), slice(n, None)):
        start[:, part], both[:, part] = h, driven
    truth = torch.cat([y, y], dim=1)

    def image(state: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        e = subtract_truth(torch.softmax(logits(state, parameters), dim=-1), truth).mul_(sign)
        torch.baddbmm(both, e, back, out=out)
        return activation(out.baddbmm_(state, w))

    return iterate(activation(first), start, image, solver.nudged, solver)


def tep(
    x: torch.Tensor,
    y: torch.Tensor,
    parameters: Parameters,
    activation: Activation,
    beta: torch.Tensor,
    solver: Solver,
    gradient: Parameters,
    phases: Phases,
) -> None:
    """Write the centred estimate of the mean cross-entropy's gradient to `gradient`."""
    driven = drive(x, parameters.W_x, parameters.b)
    h = free_phase(driven, parameters.W, activation, solver)
    phases.lap("free")
    error = subtract_truth(probabilities(h, parameters), y)
    states = nudged_states(h, error, driven, y, parameters, activation, beta, solver)
    phases.lap("nudged")
    n = h.shape[1]
    plus, minus = states[:, :n], states[:, n:]
    scale = -1 / (2 * n * beta)
    difference = torch.sub(plus, minus, out=like(h))
    centre = torch.add(plus, minus, out=like(h)).mul_(0.5)
    gradient.W_x[:] = torch.bmm(x.mT, difference).mul_(scale)
    gradient.b[:] = difference.sum(1, keepdim=True).mul_(scale)
    # h+' h+ - h-' h- is the symmetric part of (h+ + h-)' (h+ - h-): no difference of large sums.
    product = torch.bmm(centre.mT, difference)
    gradient.W[:] = product.add(product.mT).mul_(scale * 0.5)
    head_gradient(h, error, gradient)


GRADIENTS = {"tep": tep, "rbp": rbp, "bp": bp}
