"""Stacked trials against the reference: the same steps, and so the same curves."""

import dataclasses

import numpy as np
import pytest
import torch

from scripts.tep_bp.models.interface import Data, Fit
from scripts.tep_bp.models.reference.trial import fit_trial
from scripts.tep_bp.models.stacked.stacked import fit_stack
from scripts.tep_bp.plans.space import Trial
from tests.tep_nets import ECONOMY, PLAIN, RULE_NAMES, TRAIN, changed, digits, trial

SINGLE, DOUBLE = torch.float32, torch.float64
ROUNDING = {SINGLE: 1e-6, DOUBLE: 1e-12}
# So large an eps leaves of Adam a step along the gradient, whose length then counts.
DESCENT = changed(TRAIN, adam_eps=1e4)


def some(rule: str, **changes) -> list[Trial]:
    """Trials of one stack that differ in all that may differ."""
    return [
        trial(rule, **{"activation": "relu", "lr": 1e-2, "beta": 0.05, "seed": 3} | changes),
        trial(rule, **{"activation": "tanh", "weight_decay": 0.0, "seed": 4} | changes),
        trial(rule, **{"activation": "relu", "beta": 0.7, "weight_decay": 0.1} | changes),
        trial(rule, **{"activation": "tanh", "seed": 5} | changes),
    ]


def both(data: Data, trials: list[Trial], train: dict, solver: dict) -> list[tuple[Fit, Fit]]:
    reference = [fit_trial(data, one, train, solver) for one in trials]
    return list(zip(reference, fit_stack(data, trials, train, solver), strict=True))


def one_batch(dtype: torch.dtype) -> Data:
    whole = digits(dtype)
    return dataclasses.replace(whole, x=whole.x[:61], y=whole.y[:61])


def gap(pairs: list[tuple[Fit, Fit]]) -> float:
    return max(np.abs(np.subtract(a.losses, b.losses)).max() for a, b in pairs)


@pytest.mark.parametrize("dtype", [SINGLE, DOUBLE])
@pytest.mark.parametrize("solver", [PLAIN, ECONOMY])
@pytest.mark.parametrize("rule", RULE_NAMES)
def test_the_first_step_is_the_same_but_for_rounding(rule, solver, dtype):
    trials = some(rule, lr=3e3, weight_decay=1e-5)
    pairs = both(one_batch(dtype), trials, changed(DESCENT, epochs=1), solver)
    assert gap(pairs) <= ROUNDING[dtype]
    for a, b in pairs:
        assert b.audit == pytest.approx(a.audit, rel=1e3 * ROUNDING[dtype], abs=ROUNDING[dtype])


def test_the_comparison_of_first_steps_sees_a_gradient_that_is_slightly_wrong():
    data, train = one_batch(SINGLE), changed(DESCENT, epochs=1)
    right = fit_trial(data, trial(lr=3e3, beta=0.2), train, PLAIN)
    for wrong in (trial(lr=3e3 * 1.0001, beta=0.2), trial(lr=3e3, beta=0.21)):
        assert gap([(right, fit_trial(data, wrong, train, PLAIN))]) > ROUNDING[SINGLE]


@pytest.mark.parametrize("solver", [PLAIN, ECONOMY])
@pytest.mark.parametrize("rule", RULE_NAMES)
def test_in_double_precision_ten_epochs_have_the_same_curves(rule, solver):
    for a, b in both(digits(), some(rule), changed(TRAIN, epochs=10), solver):
        assert a.curve == b.curve
        assert b.losses == pytest.approx(a.losses, abs=1e-8)
        assert np.array_equal(a.predicted, b.predicted)
        assert b.audit == pytest.approx(a.audit, rel=1e-6, abs=1e-9)
        counts = [(f.n_steps, f.n_parameters, f.flops, f.diverged_epoch) for f in (a, b)]
        assert counts[0] == counts[1]
        assert set(a.cost) - {"n_iterations"} == set(b.cost)  # counted by the reference alone


@pytest.mark.parametrize("rule", RULE_NAMES)
def test_in_single_precision_accuracies_agree_within_two_samples(rule):
    pairs = both(digits(SINGLE), some(rule), changed(TRAIN, epochs=10), PLAIN)
    assert max(abs(a.accuracy - b.accuracy) for a, b in pairs) <= 2.01 / 288


@pytest.mark.parametrize("rule", RULE_NAMES)
def test_bytes_are_learnt_alike(rule):
    whole = digits()
    pixels, held = ((x * 16).byte() for x in (whole.x, whole.held_x))
    data = Data(pixels, whole.y, held, whole.held_y, 10)
    assert gap(both(data, some(rule), changed(TRAIN, epochs=1), PLAIN)) <= 1e-4


@pytest.mark.parametrize("rule", RULE_NAMES)
def test_a_trial_diverges_in_the_same_epoch(rule):
    trials = some(rule)
    trials[2] = trials[2]._replace(lr=1e37)
    for a, b in both(digits(SINGLE), trials, TRAIN, PLAIN):
        assert (a.status, a.diverged_epoch) == (b.status, b.diverged_epoch)
        assert (a.loss is None) == (b.loss is None) == (a.status == "diverged")
        assert a.accuracy == pytest.approx(b.accuracy, abs=2.01 / 288)


@pytest.mark.parametrize("rule", RULE_NAMES)
def test_unwatched_trials_are_scored_once(rule):
    train = changed(TRAIN, watch=False, epochs=3)
    for a, b in both(digits(), some(rule), train, PLAIN):
        assert len(a.curve) == len(b.curve) == len(b.losses) == 1
        assert a.curve == b.curve
