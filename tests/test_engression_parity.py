"""The trainers against the reference on the same streams, and what they promise alone.

Tolerances: 200 steps move a parameter by at most about 0.02.
"""

import math

import pytest
import torch

from scripts.engression.laws import LAWS
from scripts.engression.models import exact
from scripts.engression.models.network import (
    initial,
)
from scripts.engression.models.reference import module_of
from scripts.lib.torch_rng import torch_rng
from tests.engression_fits import (
    BOTH,
    CONFIG,
    WIDTHS,
    grouped_loss,
    largest_difference,
    losses,
    simulate,
    trained,
)


@BOTH
@pytest.mark.parametrize("law", LAWS)
def test_one_step_of_exact_is_one_step_of_the_reference(law, dtype):
    reference, fast = (
        trained(arm, 100, dtype, law, max_epochs=1) for arm in ("reference", "exact")
    )
    assert reference.n_steps == fast.n_steps == 1
    assert len(fast.parameters) == 16641
    assert largest_difference(reference.parameters, fast.parameters) < 2e-7
    start = initial(WIDTHS, torch_rng(42, "engression", law, 100, 0, "init"), dtype)
    assert largest_difference(reference.parameters, start) > 0.9 * CONFIG.train.lr


@pytest.mark.parametrize(
    ("dtype", "atol"),
    [(torch.float32, 1e-4), (torch.float64, 1e-10)],
    ids=["float32", "float64"],
)
def test_fifty_steps_of_exact_are_those_of_the_reference(dtype, atol):
    reference, fast = (
        trained(arm, 100, dtype, max_epochs=50, patience=50) for arm in ("reference", "exact")
    )
    assert reference.n_steps == fast.n_steps == 50
    assert largest_difference(reference.parameters, fast.parameters) < atol
    assert largest_difference(losses(reference), losses(fast)) < atol


@pytest.mark.parametrize(
    ("dtype", "atol"), [(torch.float32, 1e-4), (torch.float64, 1e-10)], ids=["float32", "float64"]
)
def test_a_last_batch_of_two_points_is_trained_on_like_any_other(dtype, atol):
    reference, fast = (trained(arm, 130, dtype, max_epochs=5) for arm in ("reference", "exact"))
    assert reference.n_steps == fast.n_steps == 10
    assert largest_difference(reference.parameters, fast.parameters) < atol
    for a, b in zip(reference.history, fast.history, strict=True):
        assert a == pytest.approx(b, abs=atol)


def test_a_whole_run_in_double_precision_is_the_same_run():
    reference, fast = (trained(arm, 100, torch.float64) for arm in ("reference", "exact"))
    assert len(reference.history) == len(fast.history) > 100
    assert largest_difference(reference.parameters, fast.parameters) < 1e-8
    for a, b in zip(reference.history, fast.history, strict=True):
        assert a == pytest.approx(b, abs=1e-8)
    assert reference.best_loss == pytest.approx(fast.best_loss, abs=1e-8)


def disagreement(reference, fast):
    """The first epoch at which one of two loss curves sets a new minimum and the other does not."""
    best = [math.inf, math.inf]
    for epoch, pair in enumerate(zip(reference, fast, strict=False)):
        lower = [loss < low for loss, low in zip(pair, best, strict=True)]
        if lower[0] != lower[1]:
            return epoch, min(abs(loss - low) for loss, low in zip(pair, best, strict=True))
        best = [min(loss, low) for loss, low in zip(pair, best, strict=True)]
    return None


@pytest.mark.parametrize("law", ["normal", pytest.param("chisquare", marks=pytest.mark.slow)])
def test_whole_runs_in_single_precision_part_only_where_a_loss_ties_with_the_best(law):
    reference, fast = (trained(arm, 100, torch.float32, law) for arm in ("reference", "exact"))
    parting = disagreement(losses(reference).tolist(), losses(fast).tolist())
    if parting is None:
        assert len(reference.history) == len(fast.history)
        same = len(fast.history)
    else:
        same, margin = parting
        assert margin < 1e-5
    assert same > 50
    assert largest_difference(losses(reference)[:same], losses(fast)[:same]) < 5e-5


def test_default_cdist_departs_from_the_reference_at_the_first_step():
    reference, cdist = (
        trained(arm, 100, torch.float32, max_epochs=1) for arm in ("reference", "cdist")
    )
    assert reference.history[0][0] == pytest.approx(cdist.history[0][0], abs=1e-6)
    assert largest_difference(reference.parameters, cdist.parameters) > 1e-5


def test_exact_sees_the_noise_of_the_reference_whatever_its_width():
    reference, fast = (
        trained(trainer, 100, torch.float64, noise_dim=10, max_epochs=1)
        for trainer in ("reference", "exact")
    )
    assert largest_difference(losses(reference), losses(fast)) < 1e-12


@pytest.mark.parametrize("rows", [50, 160, 1000000])
def test_the_chunks_of_exact_change_neither_draws_nor_result(rows, monkeypatch):
    settings = {"n": 130, "dtype": torch.float64, "max_epochs": 3}
    usual = trained("exact", **settings)
    monkeypatch.setattr(exact, "ROWS_PER_CHUNK", rows)
    other = trained("exact", **settings)
    assert largest_difference(usual.parameters, other.parameters) < 1e-12
    assert largest_difference(losses(usual), losses(other)) < 1e-12


@pytest.mark.parametrize("trainer", ["reference", "exact"])
def test_noise_comes_in_the_order_data_point_draw_coordinate(trainer):
    key = (42, "engression", "normal", 128, 0)
    fitted = trained(trainer, 128, torch.float64, max_epochs=1)
    x = torch.from_numpy(simulate("normal", 128, 0)).double()
    points = x[torch.randperm(128, generator=torch_rng(*key, "shuffle"))]
    net = module_of(initial(WIDTHS, torch_rng(*key, "init"), torch.float64), WIDTHS)
    noise = torch.randn(128 * 50 * 128, generator=torch_rng(*key, "noise")).double()

    def loss_before_the_update(eps):
        with torch.no_grad():
            return float(grouped_loss(points, net(eps).view(128, 50)))

    found = fitted.history[0][0]
    assert found == pytest.approx(loss_before_the_update(noise.view(128, 50, 128)), abs=1e-12)
    draw_first = noise.view(50, 128, 128).transpose(0, 1)
    assert abs(found - loss_before_the_update(draw_first)) > 1e-8
    coordinate_first = noise.view(128, 128, 50).transpose(1, 2)
    assert abs(found - loss_before_the_update(coordinate_first)) > 1e-8
