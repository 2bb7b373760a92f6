"""The hand-written passes give the gradients of autograd, on the same noise."""

import pytest
import torch

from scripts.engression.models import network
from scripts.engression.models.exact import GroupedGradient
from scripts.engression.models.network import (
    Backprop,
    initial,
    parameter_count,
    sample,
    views,
)
from scripts.engression.models.pooled import PooledGradient
from scripts.engression.models.projected import ProjectedGradient
from scripts.engression.models.reference import module_of
from tests.engression_fits import (
    NET,
    WIDTHS,
    grouped_loss,
    largest_difference,
    problem,
    simulate,
    trained,
    unit_of,
)


def test_backprop_gives_and_adds_the_gradient_of_autograd():
    rng = torch.Generator().manual_seed(0)
    flat = initial(WIDTHS, rng, torch.float64)
    inputs = torch.randn(30, 128, generator=rng, dtype=torch.float64)
    d_output = torch.randn(30, generator=rng, dtype=torch.float64)
    net = module_of(flat, WIDTHS)
    output = net(inputs).squeeze(1)
    expected = torch.cat(
        [g.flatten() for g in torch.autograd.grad(output @ d_output, [*net.parameters()])]
    )
    gradient = torch.ones_like(flat)
    passes = Backprop(views(flat, WIDTHS), views(gradient, WIDTHS), max_rows=40)
    assert largest_difference(passes.forward(inputs), output.detach()) < 1e-14
    passes.backward(d_output)
    assert relative_l2(gradient - 1, expected) < 1e-12


def test_backprop_takes_the_slope_of_relu_at_zero_to_be_zero_as_autograd_does():
    flat = torch.zeros(parameter_count([2, 3, 1]), dtype=torch.float64)
    flat[-4:] = 1.0  # output layer
    gradient = torch.zeros_like(flat)
    passes = Backprop(views(flat, [2, 3, 1]), views(gradient, [2, 3, 1]), max_rows=1)
    passes.forward(torch.ones(1, 2, dtype=torch.float64))
    passes.backward(torch.ones(1, dtype=torch.float64))
    assert gradient.tolist() == [0.0] * 12 + [1.0]


def pooled_loss(x, y, antithetic=False):
    """The loss of x (B,) and shared draws y (N,), pairs of mirrored draws left out if asked."""
    pairs = (y.unsqueeze(1) - y).abs()
    others = len(y) - 1
    if antithetic:
        half, others = len(y) // 2, others - 1
        pairs = pairs - torch.diag(pairs.diagonal(half), half)
        pairs = pairs - torch.diag(pairs.diagonal(-half), -half)
    return (x.unsqueeze(1) - y).abs().mean() - pairs.sum() / (len(y) * others) / 2


def autograd_gradient(flat, eps, loss_of):
    """Loss of the outputs for the noise eps, and its gradient as one flat vector."""
    net = module_of(flat, WIDTHS)
    loss = loss_of(net(eps).squeeze(-1))
    gradient = torch.autograd.grad(loss, [*net.parameters()])
    return loss.item(), torch.cat([part.flatten() for part in gradient])


def estimate(kind, flat, x, seed, **changes):
    """Loss and gradient of one call of a gradient estimator, on the noise stream `seed`."""
    gradient = torch.full_like(flat, torch.nan)
    noise = torch.Generator().manual_seed(seed)
    unit = unit_of("normal", 4, 0, **changes)
    estimator = kind(problem(flat, noise, unit.settings.train, unit.options), gradient)
    return float(estimator(x)[0]), gradient


@pytest.fixture(scope="module")
def state():
    """Parameters after some training, and one batch, in float64."""
    fitted = trained("pooled", 500, torch.float64, max_epochs=10, draws_per_point=10)
    return fitted.parameters, torch.from_numpy(simulate("normal", 100, 1)).double()


def normal_noise(seed, *shape):
    """Draws in float32, as the estimators make them in either precision, as float64."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def relative_l2(found, expected):
    return float((found.double() - expected).norm() / expected.norm())


def test_the_exact_gradient_is_that_of_autograd_on_the_same_noise(state):
    flat, x = state
    loss, gradient = estimate(GroupedGradient, flat, x, seed=5)
    eps = normal_noise(5, len(x), 50, 128)
    expected_loss, expected = autograd_gradient(flat, eps, lambda y: grouped_loss(x, y))
    assert loss == pytest.approx(expected_loss, rel=1e-12)
    assert relative_l2(gradient, expected) < 1e-12


def test_the_pooled_gradient_is_that_of_autograd_on_the_same_noise(state):
    flat, x = state
    loss, gradient = estimate(PooledGradient, flat, x, seed=5, draws_per_point=10)
    eps = normal_noise(5, len(x) * 10, 128)
    expected_loss, expected = autograd_gradient(flat, eps, lambda y: pooled_loss(x, y))
    assert loss == pytest.approx(expected_loss, rel=1e-12)
    assert relative_l2(gradient, expected) < 1e-12


@pytest.mark.parametrize("antithetic", [False, True])
def test_the_projected_gradient_is_the_pooled_one_on_noise_in_the_row_space(state, antithetic):
    # For z = W eps + b = L u + b, the noise of least norm is eps = W' (W W')^-1 L u = W' L^-T u.
    # It is E[eps | z]; the gradient is linear in eps at given z, so the conditional expectation
    # of the pooled gradient is the pooled gradient at this eps.
    flat, x = state
    loss, gradient = estimate(
        ProjectedGradient, flat, x, seed=5, draws_per_point=4, antithetic=antithetic
    )
    u = normal_noise(5, len(x) * (2 if antithetic else 4), 64)
    u = torch.cat([u, -u]) if antithetic else u
    weight = views(flat, WIDTHS)[0][0]
    root = torch.linalg.cholesky(weight @ weight.t())
    eps = torch.linalg.solve_triangular(root.t(), u.t(), upper=True).t() @ weight
    expected_loss, expected = autograd_gradient(flat, eps, lambda y: pooled_loss(x, y, antithetic))
    assert loss == pytest.approx(expected_loss, rel=1e-10)
    assert relative_l2(gradient, expected) < 1e-10


def test_projected_refuses_noise_narrower_than_the_first_layer():
    with pytest.raises(ValueError, match="pooled"):
        trained("projected", 4, torch.float32, noise_dim=NET.hidden - 1)


@pytest.mark.parametrize("count", [20, 100, 1000])
@pytest.mark.parametrize("rows", [16, 160, 1024, 4096])
def test_sampling_in_parts_is_one_forward_pass_on_the_same_noise(rows, count, monkeypatch):
    monkeypatch.setattr(network, "ROWS_PER_SAMPLE", rows)
    flat = initial(WIDTHS, torch.Generator().manual_seed(1), torch.float64)
    rng = torch.Generator().manual_seed(2)
    values = sample(flat, WIDTHS, count, rng)
    at_once = torch.Generator().manual_seed(2)
    noise = torch.randn(count, 128, generator=at_once).double()
    with torch.no_grad():
        expected = module_of(flat, WIDTHS)(noise).squeeze(1)
    assert values.shape == (count,)
    assert largest_difference(values, expected) < 1e-13
    assert torch.equal(rng.get_state(), at_once.get_state())
