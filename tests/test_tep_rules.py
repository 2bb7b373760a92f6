"""The learning rules of the reference: their gradients, energy and fixed points."""

import pytest
import torch

from scripts.tep_bp.gradient import exact_gradient
from scripts.tep_bp.models.reference.learning_rules import nudged
from scripts.tep_bp.models.reference.networks import relaxed
from tests.tep_nets import (
    ECONOMY,
    HEAD,
    LOOP,
    PLAIN,
    SETTLED,
    batch,
    changed,
    digits,
    gradients,
    half_trained,
    relative,
    trial,
)

ACTIVATIONS = ["tanh", "relu"]


def exact(net, activation: str, x, y, steps: int = 400) -> dict:
    return exact_gradient(dict(net.named_parameters()), x, y, activation, steps)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_recurrent_backprop_is_autograd_through_the_unrolled_loop(activation):
    one = trial("rbp", activation=activation)
    net = half_trained(one, SETTLED)
    expected = exact(net, activation, *batch())
    assert relative(gradients(net, one, *batch()), expected, LOOP) <= 1e-8
    net.solver = changed(SETTLED, nudged=3)
    assert relative(gradients(net, one, *batch()), expected, LOOP) > 1e-4


@pytest.mark.parametrize("seed", [11, 12, 13])
def test_relu_units_that_idle_learn_nothing_although_the_heavy_ball_leaves_them_above_zero(seed):
    one, (x, y) = trial("rbp", activation="relu", seed=seed), batch()
    net = half_trained(one, changed(ECONOMY, nudged=400))
    found = gradients(net, one, x, y)
    with torch.no_grad():
        h = net.state(x)
        active = net.loop(net.drive(x), h) > 0
        assert ((h > 0) & ~active).any()
        wrong = (net.logits(h).softmax(1) - torch.eye(10)[y]) / len(x)
        pushed = (wrong @ net.W_o.T * active).unsqueeze(1)
        system = torch.eye(32) - net.W * active.unsqueeze(1)
        adjoint = torch.linalg.solve(system, pushed, left=False).squeeze(1)
    assert (found["b"] - adjoint.sum(0)).norm() <= 1e-8 * found["b"].norm()


@pytest.mark.parametrize("solver", [PLAIN, SETTLED])
@pytest.mark.parametrize("rule", ["tep", "rbp"])
def test_the_head_learns_by_its_exact_gradient_at_the_free_state(rule, solver):
    net = half_trained(trial(rule), solver)
    expected = exact(net, "tanh", *batch(), steps=solver.free)
    assert relative(gradients(net, trial(rule), *batch()), expected, HEAD) <= 1e-12


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_backprop_is_its_closed_form(activation):
    one, (x, y) = trial("bp", activation=activation), batch()
    net = half_trained(one, PLAIN)
    w_x, b, w_o, b_o = (p.detach() for p in net.parameters())
    z = x @ w_x + b
    h = torch.tanh(z) if activation == "tanh" else z.clamp(min=0)
    slope = 1 / torch.cosh(z) ** 2 if activation == "tanh" else (z > 0).double()
    p = torch.exp(h @ w_o + b_o)
    wrong = (p / p.sum(1, keepdim=True) - torch.eye(10)[y]) / len(x)
    back = (wrong @ w_o.T) * slope
    expected = {"W_x": x.T @ back, "b": back.sum(0), "W_o": h.T @ wrong, "b_o": wrong.sum(0)}
    assert relative(gradients(net, one, x, y), expected, tuple(expected)) <= 1e-12


# A relu that crosses its kink between the nudges adds an error of first order: nudge it less.
@pytest.mark.parametrize(("activation", "beta"), [("tanh", 0.01), ("relu", 0.001)])
@pytest.mark.parametrize(
    ("difference", "largest", "order"), [("centred", 2.0, 2), ("one_sided", 2.0, 1)]
)
def test_equilibrium_propagation_tends_to_the_exact_gradient(
    activation, beta, difference, largest, order
):
    net = half_trained(trial(activation=activation), SETTLED)
    expected = exact(net, activation, *batch())
    errors = []
    for strength in (beta, beta / 10):
        one = trial(activation=activation, beta=strength)
        found = gradients(net, one, *batch(), difference=difference)
        errors.append(relative(found, expected, LOOP))
    assert errors[0] <= largest * beta**order
    assert errors[0] / errors[1] == pytest.approx(10**order, rel=0.3)


@pytest.mark.parametrize(("beta", "least"), [(0.2, 0.99), (0.5, 0.97)])
@pytest.mark.parametrize("solver", [PLAIN, ECONOMY])
def test_in_production_the_estimate_points_along_the_exact_gradient(solver, beta, least):
    one, data = trial(beta=beta), digits(torch.float32)
    net = half_trained(one, solver, data)
    found = gradients(net, one, *batch(dtype=torch.float32))
    expected = exact(net, "tanh", *batch(dtype=torch.float32))
    for name in LOOP:
        cosine = torch.cosine_similarity(found[name].flatten(), expected[name].flatten(), dim=0)
        assert cosine >= least


def energy(net, h: torch.Tensor, drive: torch.Tensor, activation: str) -> torch.Tensor:
    own = h**2 / 2
    if activation == "tanh":
        own = h * torch.atanh(h) + torch.log1p(-(h**2)) / 2
    return (own - (h @ net.W) * h / 2 - drive * h).sum(1)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_free_iteration_never_raises_the_energy_and_ends_where_it_is_flat(activation):
    net = half_trained(trial(activation=activation), SETTLED)
    with torch.no_grad():
        drive = net.drive(batch()[0])
        h, energies = torch.zeros_like(drive), []
        for _ in range(30):
            energies.append(energy(net, h, drive, activation))
            h = net.loop(drive, h)
        fixed = net.free(drive)
    changes = torch.stack(energies).diff(dim=0)
    assert changes.max() <= 1e-12
    assert changes[0].max() < -1e-3
    fixed.requires_grad_()
    (slope,) = torch.autograd.grad(energy(net, fixed, drive, activation).sum(), fixed)
    if activation == "relu":  # at the border the energy may rise inwards
        assert (slope[fixed == 0] >= 0).all()
        slope = slope[fixed > 0]
    assert slope.abs().max() <= 1e-6


def test_a_sample_is_nudged_alike_alone_and_in_a_batch():
    net, (x, y) = half_trained(trial(), PLAIN), batch()
    with torch.no_grad():
        drive = net.drive(x)
        free = net.free(drive)
        together = nudged(net, drive, free, y, 0.2)
        rows = [slice(i, i + 1) for i in range(64)]
        alone = [nudged(net, drive[r], free[r], y[r], 0.2) for r in rows]
    assert (torch.cat(alone) - together).abs().max() <= 1e-12
    assert (together - free).abs().max() > 1e-3


@pytest.mark.parametrize("beta", [0.2, -0.2])
def test_a_positive_nudge_lowers_the_cost_and_a_negative_one_raises_it(beta):
    net, (x, y) = half_trained(trial(), PLAIN), batch()
    with torch.no_grad():
        drive = net.drive(x)
        free = net.free(drive)
        states = (free, nudged(net, drive, free, y, beta))
        before, after = (torch.nn.functional.cross_entropy(net.logits(h), y) for h in states)
    assert (before - after) * beta > 0


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_heavy_ball_has_the_same_fixed_points(activation):
    net, (x, y) = half_trained(trial(activation=activation), SETTLED), batch()
    with torch.no_grad():
        drive = net.drive(x)
        plain = net.free(drive), nudged(net, drive, net.free(drive), y, 0.1)
        net.solver = changed(ECONOMY, free=200, nudged=200)
        heavy = net.free(drive), nudged(net, drive, net.free(drive), y, 0.1)
    assert all((a - b).abs().max() <= 1e-10 for a, b in zip(plain, heavy, strict=True))


def test_the_heavy_ball_starts_from_rest_and_keeps_its_speed():
    h = relaxed(lambda h: h / 2, torch.tensor(1.0), 2, changed(PLAIN, omega=0.5, mu=0.25))
    first = 1 + 0.5 * (0.5 - 1)
    assert h == first + 0.5 * (first / 2 - first) + 0.25 * (first - 1)
