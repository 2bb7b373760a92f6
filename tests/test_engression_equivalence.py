"""The other estimators against the reference's: same expected gradient, no larger variance.

At fixed parameters (before training, after about 100 and about 600 steps) mean
gradients agree along fixed random directions, |z| < 4, and so do mean losses; the total variance
of a gradient, over batches and noise, is at most 1.25 times that of the grouped estimator.
"""

import functools
import math
from typing import NamedTuple

import numpy as np
import pytest
import torch

from scripts.engression.models.exact import GroupedGradient
from scripts.engression.models.losses import pooled_gradient
from scripts.engression.models.network import parameter_count
from scripts.engression.models.pooled import PooledGradient
from scripts.engression.models.projected import ProjectedGradient
from scripts.lib.torch_rng import torch_rng
from tests.engression_fits import CONFIG, STUDY, WIDTHS, changed, problem, simulate, unit_of

ESTIMATORS = {
    "exact": GroupedGradient,
    "pooled": PooledGradient,
    "projected": ProjectedGradient,
}
FIRST_LAYER = slice(WIDTHS[0] * WIDTHS[1])
STEPS_PER_EPOCH = 4  # 500 points in batches of 128
STATES = (0, 100, 600)  # steps trained
EARLY_STEPS = CONFIG.arms["antithetic"].options.early_steps
ARMS = ("pooled", "pooled5", "projected", "antithetic")


@functools.cache
def sample():
    return torch.from_numpy(simulate("normal", 500, 0))


@functools.cache
def parameters_after(steps):
    """Parameters after this many steps of the arm `pooled` on 500 points of the normal law."""
    changes = CONFIG.arms["pooled"].options.model_dump() | {"patience": 10**6}
    changes |= {"max_epochs": steps // STEPS_PER_EPOCH}
    fitted = STUDY.implementations["pooled"](unit_of("normal", 500, 0, **changes))
    assert fitted.n_steps == steps
    return fitted.parameters


@functools.cache
def directions():
    """40 random directions in parameter space, 20 of them in the first layer's weights alone."""
    rng = torch_rng(42, "directions")
    chosen = torch.randn(40, parameter_count(WIDTHS), generator=rng)
    chosen[20:, FIRST_LAYER.stop :] = 0
    return chosen


class Draws(NamedTuple):
    """Gradients of repeated calls of one estimator: along the directions, and their variance."""

    projections: np.ndarray  # (calls, 40)
    losses: np.ndarray  # (calls,)
    variance: float  # trace of the covariance matrix
    first_layer_variance: float


@functools.cache
def draws(arm, steps, calls, fixed_batch, points=128, **changes):
    """`calls` gradients of an arm's estimator at one state, on one batch or on fresh ones.

    A batch is drawn from the 500 points as in an epoch, and is the same for all arms.
    """
    method = CONFIG.arms[arm].implementation or arm
    options = changed(CONFIG.arms[arm].options, {"early_steps": 0} | changes)
    train = changed(CONFIG.train, changes)
    flat = parameters_after(steps)
    gradient = torch.zeros_like(flat)
    noise = torch_rng(42, arm, steps, repr(sorted(changes.items())), "noise")
    estimate = ESTIMATORS[method](problem(flat, noise, train, options), gradient)
    batches = torch_rng(42, "batches")
    batch = torch.randperm(500, generator=batches)[:points]
    gradients, losses = torch.empty(calls, len(flat)), np.empty(calls)
    for call in range(calls):
        if not fixed_batch:
            batch = torch.randperm(500, generator=batches)[:points]
        losses[call] = estimate(sample()[batch])[0]
        gradients[call] = gradient
    variances = gradients.var(dim=0)
    return Draws(
        projections=(gradients @ directions().t()).double().numpy(),
        losses=losses,
        variance=float(variances.sum()),
        first_layer_variance=float(variances[FIRST_LAYER].sum()),
    )


def z_scores(a, b):
    """Differences of the means of independent draws (along axis 0) in standard errors."""
    error = np.sqrt(a.var(axis=0, ddof=1) / len(a) + b.var(axis=0, ddof=1) / len(b))
    return (a.mean(axis=0) - b.mean(axis=0)) / error


def check_same_expectation(found, expected):
    assert np.abs(z_scores(found.projections, expected.projections)).max() < 4
    assert abs(z_scores(found.losses, expected.losses)) < 4


@pytest.mark.parametrize("arm", ARMS)
@pytest.mark.parametrize(
    "steps",
    [pytest.param(0, marks=pytest.mark.slow), pytest.param(100, marks=pytest.mark.slow), 600],
)
def test_the_expected_gradient_and_loss_are_those_of_the_reference(arm, steps):
    reference = draws("exact", steps, 400, fixed_batch=True)
    check_same_expectation(draws(arm, steps, 400, fixed_batch=True), reference)


@pytest.mark.parametrize("arm", ARMS)
@pytest.mark.parametrize("steps", STATES[:-1])
def test_the_expected_gradient_and_loss_are_those_of_ten_grouped_draws(arm, steps):
    # The expectation of the grouped loss does not depend on m; ten draws cost a fifth of 50.
    reference = draws("exact", steps, 400, fixed_batch=True, m=10)
    check_same_expectation(draws(arm, steps, 400, fixed_batch=True), reference)


def test_keeping_the_mirrored_pairs_fails_the_same_test(monkeypatch):
    # Four points with two draws each: one pair in seven is mirrored.
    settings = {"steps": 600, "calls": 1500, "fixed_batch": True, "points": 4}
    reference = draws("exact", **settings)
    check_same_expectation(draws("antithetic", **settings), reference)
    monkeypatch.setattr(
        "scripts.engression.models.projected.pooled_gradient",
        lambda x, y, antithetic: pooled_gradient(x, y),
    )
    biased = draws.__wrapped__("antithetic", **settings)
    assert np.abs(z_scores(biased.projections, reference.projections)).max() > 4
    assert abs(z_scores(biased.losses, reference.losses)) > 4


def total_variance_ratio(arm, steps, **changes):
    """Variance over batches and noise, relative to the grouped estimator on the same batches."""
    found = draws(arm, steps, 100, fixed_batch=False, **changes)
    return found.variance / draws("exact", steps, 100, fixed_batch=False).variance


@pytest.mark.parametrize("steps", [pytest.param(0, marks=pytest.mark.slow), 100, 600])
def test_pooling_ten_draws_a_point_adds_at_most_a_quarter_of_variance(steps):
    assert total_variance_ratio("pooled", steps) <= 1.25


@pytest.mark.parametrize("steps", [pytest.param(0, marks=pytest.mark.slow), 100])
def test_the_early_antithetic_draws_add_at_most_a_quarter_of_variance(steps):
    early = CONFIG.arms["antithetic"].options.early_draws
    assert steps < EARLY_STEPS
    assert total_variance_ratio("antithetic", steps, draws_per_point=early) <= 1.25


@pytest.mark.parametrize("steps", [pytest.param(EARLY_STEPS, marks=pytest.mark.slow), 600])
def test_the_later_antithetic_draws_add_at_most_a_quarter_of_variance(steps):
    assert steps >= EARLY_STEPS
    assert total_variance_ratio("antithetic", steps) <= 1.25


def test_a_fifth_of_the_grouped_draws_fails_the_variance_test():
    assert total_variance_ratio("exact", 600, m=10) > 1.25


@pytest.mark.parametrize("steps", STATES)
def test_integrating_the_noise_out_lowers_the_variance_of_the_first_layers_gradient(steps):
    # Rao-Blackwell: same draws a point, no mirrored ones, variance given the batch.
    pooled, integrated = (
        draws(arm, steps, 400, fixed_batch=True) for arm in ("pooled", "projected")
    )
    assert integrated.first_layer_variance < 0.8 * pooled.first_layer_variance


@pytest.mark.parametrize("count", [4, 6, 10])
def test_pairing_a_draw_with_its_mirror_biases_term2(count):
    # Y = u ~ N(0, 1): E|u - u'| = 2 / sqrt(pi), but |u - (-u)| = 2|u| has mean 2 sqrt(2 / pi).
    rng = torch.Generator().manual_seed(count)
    kept, left_out = np.empty(2000), np.empty(2000)
    x = torch.zeros(1, dtype=torch.float64)
    for i in range(2000):
        u = torch.randn(count // 2, generator=rng, dtype=torch.float64)
        y = torch.cat([u, -u])
        kept[i] = pooled_gradient(x, y, antithetic=False)[2]
        left_out[i] = pooled_gradient(x, y, antithetic=True)[2]
    truth = 2 / math.sqrt(math.pi)
    z = [(v.mean() - truth) / (v.std(ddof=1) / math.sqrt(len(v))) for v in (kept, left_out)]
    assert z[0] > 4
    assert abs(z[1]) < 4
    mirrored_share = 1 / (count - 1)
    bias = mirrored_share * (2 * math.sqrt(2 / math.pi) - truth)
    assert kept.mean() - truth == pytest.approx(bias, abs=4 * kept.std() / math.sqrt(len(kept)))
