"""The energy loss and its closed-form gradients, against the definition written out in loops.

With term1_i = mean_j |x_i - y_ij|, term2_i = mean_{j != j'} |y_ij - y_ij'|,
loss = mean_i (term1_i - term2_i / 2).
"""

import functools
import math
from statistics import fmean

import numpy as np
import pytest
import torch

from scripts.engression.laws import LAWS
from scripts.engression.models.losses import (
    broadcast_loss,
    cdist_loss,
    grouped_gradient,
    pooled_gradient,
)
from scripts.lib.seeds import numpy_rng

RTOL = {torch.float32: 1e-6, torch.float64: 1e-12}
BOTH = pytest.mark.parametrize("dtype", RTOL, ids=["float32", "float64"])
DRAWS = pytest.mark.parametrize("m", [2, 3, 50])


def points_and_draws(batch, m, d, dtype, seed=0):
    """x ~ N(0.5, I), shape (batch, d), and y ~ N(0, 1.69 I), shape (batch, m, d)."""
    rng = torch.Generator().manual_seed(seed)
    x = 0.5 + torch.randn(batch, d, generator=rng, dtype=torch.float64)
    y = 1.3 * torch.randn(batch, m, d, generator=rng, dtype=torch.float64)
    return x.to(dtype), y.to(dtype)


def grouped_by_loops(x, y):
    """(loss, term1, term2) of points x (B, d) with draws y (B, m, d) of their own."""
    term1, term2 = [], []
    for point, draws in zip(x.tolist(), y.tolist(), strict=True):
        term1.append(fmean(math.dist(point, draw) for draw in draws))
        term2.append(
            fmean(
                math.dist(a, b) for i, a in enumerate(draws) for j, b in enumerate(draws) if i != j
            )
        )
    return fmean(term1) - fmean(term2) / 2, fmean(term1), fmean(term2)


def pooled_by_loops(x, y, antithetic=False):
    """(loss, term1, term2) of points x (B,) that share the draws y (N,)."""
    x, y = x.tolist(), y.tolist()
    partner = len(y) // 2 if antithetic else 0
    term1 = fmean(abs(a - b) for a in x for b in y)
    term2 = fmean(
        abs(a - b)
        for i, a in enumerate(y)
        for j, b in enumerate(y)
        if abs(i - j) not in (0, partner)
    )
    return term1 - term2 / 2, term1, term2


def grouped_pairwise(x, y):
    """The grouped loss of x (B,) and y (B, m) by its full pair tensor, for autograd."""
    others = 1 - torch.eye(y.shape[1], dtype=y.dtype)
    pairs = (y.unsqueeze(2) - y.unsqueeze(1)).abs() * others
    return (x.unsqueeze(1) - y).abs().mean() - pairs.sum() / (others.sum() * len(x)) / 2


def pooled_pairwise(x, y, antithetic=False):
    """The pooled loss of x (B,) and y (N,) by its full pair tensor, for autograd."""
    others = 1 - torch.eye(len(y), dtype=y.dtype)
    if antithetic:
        half = torch.arange(len(y) // 2)
        others[half, half + len(half)] = others[half + len(half), half] = 0
    pairs = (y.unsqueeze(1) - y).abs() * others
    return (x.unsqueeze(1) - y).abs().mean() - pairs.sum() / others.sum() / 2


def autograd_of(loss_of, x, y, dtype=torch.float64):
    """d loss / d y by autograd."""
    y = y.detach().to(dtype).requires_grad_()
    (gradient,) = torch.autograd.grad(loss_of(x.to(dtype), y), y)
    return gradient


def relative_l2(found, expected):
    return float((found.double() - expected).norm() / expected.norm())


def grouped_values(x, y):
    """(loss, term1, term2) of grouped_gradient, whose terms are sums over the data points."""
    term1, term2, _ = grouped_gradient(x, y, len(x))
    return (term1 - term2 / 2) / len(x), term1 / len(x), term2 / len(x)


def pooled_values(x, y):
    """(loss, term1, term2) of pooled_gradient with all of y (B, m) shared by all of x."""
    return pooled_gradient(x, y.flatten())[:3]


def antithetic_values(x, y):
    return pooled_gradient(x, y.flatten(), antithetic=True)[:3]


def broadcast_values(x, y):
    return broadcast_loss(x.unsqueeze(1), y.unsqueeze(2))


def cdist_values(x, y):
    return cdist_loss(x.unsqueeze(1), y.unsqueeze(2))


def z_score(values, truth):
    """Distance of the mean from the truth in Monte Carlo standard errors."""
    values = np.asarray(values, dtype=float)
    return (values.mean() - truth) / (values.std(ddof=1) / math.sqrt(len(values)))


EXACT_IN_ONE_DIMENSION = {
    "broadcast": broadcast_values,
    "grouped": grouped_values,
    "pooled": pooled_values,
    "antithetic": antithetic_values,
}
IN_ONE_DIMENSION = pytest.mark.parametrize("loss", EXACT_IN_ONE_DIMENSION)


@BOTH
@DRAWS
@pytest.mark.parametrize("d", [1, 3])
@pytest.mark.parametrize("loss_of", [broadcast_loss, cdist_loss])
def test_the_loss_and_its_terms_are_those_of_the_definition(loss_of, d, m, dtype):
    x, y = points_and_draws(6, m, d, dtype)
    found = [float(value) for value in loss_of(x, y)]
    assert found == pytest.approx(grouped_by_loops(x, y), rel=RTOL[dtype])


@BOTH
@DRAWS
def test_the_closed_form_gives_the_same_loss_and_terms(m, dtype):
    x, y = points_and_draws(6, m, 1, dtype)
    found = [float(value) for value in grouped_values(x[:, 0], y[..., 0])]
    assert found == pytest.approx(grouped_by_loops(x, y), rel=RTOL[dtype])


@BOTH
@pytest.mark.parametrize(("batch", "draws"), [(1, 2), (2, 2), (5, 3), (3, 50), (40, 60)])
def test_the_pooled_loss_pairs_every_point_with_every_draw(batch, draws, dtype):
    x = points_and_draws(batch, 1, 1, dtype)[0][:, 0]
    y = points_and_draws(1, draws, 1, dtype, seed=1)[1][0, :, 0]
    found = [float(value) for value in pooled_gradient(x, y)[:3]]
    assert found == pytest.approx(pooled_by_loops(x, y), rel=RTOL[dtype])


@BOTH
@pytest.mark.parametrize(("batch", "draws"), [(1, 4), (2, 4), (5, 6), (3, 50), (40, 60)])
def test_the_antithetic_loss_leaves_out_the_pairs_of_a_draw_with_its_mirror(batch, draws, dtype):
    x = points_and_draws(batch, 1, 1, dtype)[0][:, 0]
    y = points_and_draws(1, draws, 1, dtype, seed=1)[1][0, :, 0]
    found = [float(value) for value in pooled_gradient(x, y, antithetic=True)[:3]]
    assert found == pytest.approx(pooled_by_loops(x, y, antithetic=True), rel=RTOL[dtype])


@pytest.mark.parametrize("antithetic", [False, True])
def test_ties_between_draws_and_with_the_data_leave_the_value_exact(antithetic):
    x = torch.tensor([0.0, 1.0, 1.0, 2.0], dtype=torch.float64)
    y = torch.tensor([1.0, 1.0, 0.0, 2.0, 3.0, 1.0], dtype=torch.float64)
    found = [float(value) for value in pooled_gradient(x, y, antithetic)[:3]]
    assert found == pytest.approx(pooled_by_loops(x, y, antithetic), rel=1e-12)
    groups = torch.stack([y, y.flip(0), torch.ones(6), torch.zeros(6)]).double()
    found = [float(value) for value in grouped_values(x, groups)]
    expected = grouped_by_loops(x.unsqueeze(1), groups.unsqueeze(2))
    assert found == pytest.approx(expected, rel=1e-12)


def test_parts_of_a_batch_add_up_to_the_batch():
    x, y = points_and_draws(10, 7, 1, torch.float64)
    x, y = x[:, 0], y[..., 0]
    whole = grouped_gradient(x, y, 10)
    parts = [grouped_gradient(x[part], y[part], 10) for part in (slice(3), slice(3, 10))]
    for i in range(2):
        assert float(parts[0][i] + parts[1][i]) == pytest.approx(float(whole[i]), rel=1e-14)
    assert torch.equal(torch.cat([parts[0][2], parts[1][2]]), whole[2])


@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
def test_with_two_draws_it_is_the_two_sample_loss_of_the_official_package(dtype, rtol):
    official = pytest.importorskip("engression.loss_func").energy_loss_two_sample
    x, y = points_and_draws(128, 2, 1, dtype)
    expected = official(x, y[:, 0], y[:, 1]).tolist()
    x, y = x[:, 0], y[..., 0]
    for values in (broadcast_values, cdist_values, grouped_values):
        assert [float(v) for v in values(x, y)] == pytest.approx(expected, rel=rtol)


@pytest.mark.parametrize("d", [1, 3])
def test_with_fifty_draws_it_is_the_evaluation_loss_of_the_official_package(d):
    official = pytest.importorskip("engression.loss_func").energy_loss
    x, y = points_and_draws(20, 50, d, torch.float64)
    expected = official(x, list(y.unbind(1))).tolist()
    assert [float(v) for v in broadcast_loss(x, y)] == pytest.approx(expected, rel=1e-12)


@BOTH
@DRAWS
def test_the_closed_form_gradient_is_that_of_autograd(m, dtype):
    x, y = points_and_draws(128, m, 1, dtype)
    x, y = x[:, 0], y[..., 0]
    found = grouped_gradient(x, y, len(x))[2]
    assert relative_l2(found, autograd_of(grouped_pairwise, x, y)) < RTOL[dtype]


@BOTH
@pytest.mark.parametrize("antithetic", [False, True])
@pytest.mark.parametrize(("batch", "draws"), [(1, 4), (2, 20), (100, 200), (128, 1280)])
def test_the_pooled_gradient_is_that_of_autograd(batch, draws, antithetic, dtype):
    x = points_and_draws(batch, 1, 1, dtype)[0][:, 0]
    y = points_and_draws(1, draws, 1, dtype, seed=1)[1][0, :, 0]
    found = pooled_gradient(x, y, antithetic)[3]
    loss_of = functools.partial(pooled_pairwise, antithetic=antithetic)
    assert relative_l2(found, autograd_of(loss_of, x, y)) < RTOL[dtype]


@BOTH
@DRAWS
def test_the_gradient_of_the_broadcast_loss_is_that_of_the_definition(m, dtype):
    x, y = points_and_draws(128, m, 1, dtype)
    x, y = x[:, 0], y[..., 0]
    found = autograd_of(lambda x, y: broadcast_values(x, y)[0], x, y, dtype)
    assert relative_l2(found, autograd_of(grouped_pairwise, x, y)) < RTOL[dtype]


@pytest.mark.parametrize(
    ("loss_of", "gradient_of"),
    [
        (
            lambda x, y: grouped_by_loops(x.unsqueeze(1), y.view(4, 3, 1))[0],
            lambda x, y: grouped_gradient(x, y.view(4, 3), 4)[2].flatten(),
        ),
        (lambda x, y: pooled_by_loops(x, y)[0], lambda x, y: pooled_gradient(x, y)[3]),
        (
            lambda x, y: pooled_by_loops(x, y, antithetic=True)[0],
            lambda x, y: pooled_gradient(x, y, antithetic=True)[3],
        ),
    ],
    ids=["grouped", "pooled", "antithetic"],
)
def test_the_gradient_is_the_slope_of_the_loss(loss_of, gradient_of):
    # The loss is piecewise linear in y, so a central difference inside a piece is its slope.
    x, y = points_and_draws(4, 3, 1, torch.float64)
    x, y, step = x[:, 0], y.flatten(), 1e-6
    values = torch.cat([x, y]).sort().values
    assert values.diff().min() > 4 * step
    slope = [
        (loss_of(x, y + step * e) - loss_of(x, y - step * e)) / (2 * step)
        for e in torch.eye(len(y), dtype=torch.float64)
    ]
    assert gradient_of(x, y).tolist() == pytest.approx(slope, abs=1e-8)


def gradient_error_of_cdist(m):
    x, y = points_and_draws(128, m, 1, torch.float32)
    x, y = x[:, 0], y[..., 0]
    found = autograd_of(lambda x, y: cdist_values(x, y)[0], x, y, torch.float32)
    return relative_l2(found, autograd_of(grouped_pairwise, x, y))


def test_default_cdist_fails_the_gradient_test():
    # Above 25 rows it multiplies matrices, and the gradient is off by per cents.
    assert gradient_error_of_cdist(50) > 1e-4


def test_direct_cdist_passes_the_gradient_test(monkeypatch):
    direct = functools.partial(torch.cdist, compute_mode="donot_use_mm_for_euclid_dist")
    monkeypatch.setattr(torch, "cdist", direct)
    assert gradient_error_of_cdist(50) < 1e-6


def test_default_cdist_passes_the_gradient_test_up_to_25_draws():
    assert gradient_error_of_cdist(25) < 1e-6
    assert gradient_error_of_cdist(26) > 1e-4


def test_default_cdist_passes_a_test_of_the_loss_alone():
    x, y = points_and_draws(128, 50, 1, torch.float32)
    expected = grouped_values(x[:, 0].double(), y[..., 0].double())
    assert [float(v) for v in cdist_loss(x, y)] == pytest.approx(
        [float(v) for v in expected], rel=1e-6
    )


@IN_ONE_DIMENSION
@pytest.mark.parametrize("shift", [-1000.0, 0.3, 7.0])
def test_moving_data_and_draws_together_changes_nothing(loss, shift):
    x, y = points_and_draws(20, 10, 1, torch.float64)
    x, y, values = x[:, 0], y[..., 0], EXACT_IN_ONE_DIMENSION[loss]
    moved = [float(v) for v in values(x + shift, y + shift)]
    assert moved == pytest.approx([float(v) for v in values(x, y)], rel=1e-12)


@IN_ONE_DIMENSION
@pytest.mark.parametrize("factor", [1e-3, 0.3, 250.0])
def test_stretching_data_and_draws_stretches_the_loss(loss, factor):
    x, y = points_and_draws(20, 10, 1, torch.float64)
    x, y, values = x[:, 0], y[..., 0], EXACT_IN_ONE_DIMENSION[loss]
    stretched = [float(v) for v in values(factor * x, factor * y)]
    assert stretched == pytest.approx([factor * float(v) for v in values(x, y)], rel=1e-12)


def test_the_gradient_ignores_shift_and_scale():
    x, y = points_and_draws(20, 10, 1, torch.float64)
    x, y = x[:, 0], y[..., 0]
    moved_x, moved_y = 3 * x + 7, 3 * y + 7
    expected = grouped_gradient(x, y, 20)[2]
    assert torch.equal(grouped_gradient(moved_x, moved_y, 20)[2], expected)
    for antithetic in (False, True):
        expected = pooled_gradient(x, y.flatten(), antithetic)[3]
        found = pooled_gradient(moved_x, moved_y.flatten(), antithetic)[3]
        assert torch.equal(found, expected)


@IN_ONE_DIMENSION
def test_the_loss_is_never_negative(loss):
    # |y_j - y_j'| <= |y_j - x| + |x - y_j'|; averaged over the pairs, in which every draw occurs
    # equally often, this says term2 <= 2 term1. For single batches it is no invariant.
    values = EXACT_IN_ONE_DIMENSION[loss]
    for seed in range(200):
        x, y = points_and_draws(2, 2 + 2 * (seed % 5), 1, torch.float64, seed)
        assert float(values(x[:, 0] * (seed % 3), y[..., 0])[0]) >= -1e-15


def test_the_loss_is_zero_with_the_data_point_between_its_two_draws():
    x, y = torch.tensor([0.25]), torch.tensor([[-1.0, 2.0]])
    for values in (broadcast_values, cdist_values, grouped_values, pooled_values):
        assert float(values(x, y)[0]) == 0


def test_the_gradients_of_a_batch_add_up_to_the_pull_of_the_data():
    # Pair distances do not change when all draws move together; only the data hold them.
    x, y = points_and_draws(20, 10, 1, torch.float64)
    x, y = x[:, 0], y[..., 0]
    pull = float((y - x.unsqueeze(1)).sign().mean())
    assert float(grouped_gradient(x, y, 20)[2].sum()) == pytest.approx(pull, abs=1e-14)
    pull = float((y.flatten() - x.unsqueeze(1)).sign().mean())
    for antithetic in (False, True):
        total = pooled_gradient(x, y.flatten(), antithetic)[3].sum()
        assert float(total) == pytest.approx(pull, abs=1e-14)


def energy_loss_of_normals(mean, sd):
    """E|X - Y| - E|Y - Y'| / 2 for X ~ N(0, 1) and Y, Y' ~ N(mean, sd^2), independent.

    |X - Y| is folded normal with variance 1 + sd^2; E|Y - Y'| = 2 sd / sqrt(pi).
    """
    spread = math.sqrt(1 + sd**2)
    distance = spread * math.sqrt(2 / math.pi) * math.exp(-((mean / spread) ** 2) / 2)
    distance += mean * math.erf(mean / spread / math.sqrt(2))
    return distance - sd / math.sqrt(math.pi)


@pytest.mark.parametrize("values", [broadcast_values, grouped_values])
@pytest.mark.parametrize("m", [2, 3, 10, 50])
def test_the_expected_loss_is_the_population_loss_for_any_number_of_draws(m, values):
    rng = torch.Generator().manual_seed(m)
    losses = []
    for _ in range(400):
        x = torch.randn(16, generator=rng, dtype=torch.float64)
        y = 0.4 + 1.5 * torch.randn(16, m, generator=rng, dtype=torch.float64)
        losses.append(float(values(x, y)[0]))
    assert abs(z_score(losses, energy_loss_of_normals(0.4, 1.5))) < 4


@pytest.mark.parametrize(
    ("draws", "antithetic"), [(2, False), (3, False), (50, False), (4, True), (6, True), (50, True)]
)
def test_the_expected_pooled_loss_is_the_population_loss_too(draws, antithetic):
    rng = torch.Generator().manual_seed(draws)
    losses = []
    for _ in range(1000):
        x = torch.randn(16, generator=rng, dtype=torch.float64)
        u = torch.randn(draws, generator=rng, dtype=torch.float64)
        if antithetic:
            u[draws // 2 :] = -u[: draws // 2]
        losses.append(float(pooled_gradient(x, 0.4 + 1.5 * u, antithetic)[0]))
    assert abs(z_score(losses, energy_loss_of_normals(0.4, 1.5))) < 4


@pytest.mark.parametrize("values", [grouped_values, pooled_values])
@pytest.mark.parametrize("law", LAWS)
def test_a_perfect_generator_has_half_the_gini_difference_as_loss(law, values):
    rng = numpy_rng(42, "perfect generator", law)
    losses = []
    for _ in range(400):
        x = torch.from_numpy(LAWS[law].draw(rng, 32))
        y = torch.from_numpy(LAWS[law].draw(rng, 32 * 50).reshape(32, 50))
        losses.append(float(values(x, y)[0]))
    assert abs(z_score(losses, LAWS[law].gini / 2)) < 4


@pytest.mark.parametrize(("mean", "sd"), [(0.3, 1.0), (0.0, 1.6), (0.0, 0.5)])
def test_any_other_generator_has_a_higher_loss(mean, sd):
    best = LAWS["normal"].gini / 2
    rng = torch.Generator().manual_seed(7)
    losses = []
    for _ in range(400):
        x = torch.randn(64, generator=rng, dtype=torch.float64)
        y = mean + sd * torch.randn(64, 10, generator=rng, dtype=torch.float64)
        losses.append(float(pooled_values(x, y)[0]))
    assert z_score(losses, best) > 4
    assert energy_loss_of_normals(0, 1) == pytest.approx(best, rel=1e-14)
