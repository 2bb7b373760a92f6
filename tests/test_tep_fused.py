"""The compiled trainer against the reference: the same steps but for rounding."""

import dataclasses

import numpy as np
import pytest
import torch

from scripts.tep_bp.models.fused.fit import fit_fused
from scripts.tep_bp.models.fused.learner import Learner
from scripts.tep_bp.models.interface import Data, Fit
from scripts.tep_bp.models.reference.trial import fit_trial, network
from scripts.tep_bp.plans.space import Trial
from tests.tep_nets import (
    ECONOMY,
    PLAIN,
    RULE_NAMES,
    TRAIN,
    changed,
    digits,
    gradients,
    relative,
    trial,
)

SINGLE = torch.float32
# So large an eps leaves of Adam a step along the gradient, whose length then counts.
DESCENT = changed(TRAIN, adam_eps=1e4, epochs=1)
SOLVERS, ACTIVATIONS = [PLAIN, ECONOMY], ["tanh", "relu"]


def some(rule: str, activation: str = "tanh", **changes) -> list[Trial]:
    """Trials that differ in all that may differ."""
    return [
        trial(rule, **{"activation": activation, "beta": 0.05, "hidden": 8} | changes),
        trial(rule, **{"activation": activation, "weight_decay": 0.1, "hidden": 24} | changes),
        trial(rule, **{"activation": activation, "seed": 4, "beta": 0.7, "batch": 37} | changes),
    ]


def part(n: int, dtype: torch.dtype = SINGLE) -> Data:
    whole = digits(dtype)
    return dataclasses.replace(whole, x=whole.x[:n], y=whole.y[:n])


def both(data: Data, trials: list[Trial], train: dict, solver: dict) -> list[tuple[Fit, Fit]]:
    reference = [fit_trial(data, one, train, solver) for one in trials]
    return list(zip(reference, fit_fused(data, trials, train, solver), strict=True))


def gap(pairs: list[tuple[Fit, Fit]]) -> float:
    """The largest relative difference of a loss."""
    return max(np.max(np.abs(np.subtract(a.losses, b.losses)) / a.losses) for a, b in pairs)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("rule", RULE_NAMES)
def test_the_first_step_is_the_same_but_for_rounding(rule, solver, activation):
    trials = some(rule, activation, lr=3e3, weight_decay=1e-5, batch=64)
    pairs = both(part(61), trials, DESCENT, solver)
    assert gap(pairs) <= 1e-6
    for a, b in pairs:
        assert b.audit == pytest.approx(a.audit, rel=1e-3, abs=1e-6)


def test_the_comparison_of_first_steps_sees_a_gradient_that_is_slightly_wrong():
    right = fit_trial(part(61), trial(lr=3e3, beta=0.2), DESCENT, PLAIN)
    for wrong in (trial(lr=3e3 * 1.0001, beta=0.2), trial(lr=3e3, beta=0.21)):
        assert gap([(right, fit_fused(part(61), [wrong], DESCENT, PLAIN)[0])]) > 1e-6


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("rule", RULE_NAMES)
def test_the_gradient_of_each_parameter_is_that_of_the_reference(rule, solver, activation):
    one, data = trial(rule, activation=activation, beta=0.7), part(61)
    expected = gradients(network(one, data, solver), one, data.x, data.y)
    own = Learner(data, one, TRAIN, solver)
    samples = own.gather(data.x.numpy(), data.y.numpy(), np.arange(61))
    own.settle(samples)
    own.teach(samples)
    own.update(samples, 61)
    for name, found in own.parameters(own.gradient).items():
        assert relative({name: found}, expected, (name,)) <= 1e-5


@pytest.mark.parametrize("rule", ["tep", "rbp"])
def test_recurrent_weights_stay_exactly_symmetric_and_within_the_cap(rule, monkeypatch):
    kept = []
    whole = Learner.parameters
    monkeypatch.setattr(Learner, "parameters", lambda *a: kept.append(whole(*a)) or kept[-1])
    for hidden in (8, 40, 128):
        norms = []
        for cap in (0.9, 1e9):
            train = changed(TRAIN, spectral_cap=cap, epochs=8)
            fit_fused(part(100), [trial(rule, hidden=hidden, lr=0.03)], train, ECONOMY)
            norms.append(torch.linalg.matrix_norm(kept[-1]["W"], 2))
            assert torch.equal(kept[-1]["W"], kept[-1]["W"].T)
        assert 0.85 < norms[0] < 1 < norms[1]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("rule", RULE_NAMES)
def test_the_first_epoch_is_the_same_but_for_rounding(rule, solver, activation):
    for a, b in both(part(300), some(rule, activation), changed(TRAIN, epochs=1), solver):
        assert gap([(a, b)]) <= 1e-5
        counts = [(f.n_steps, f.n_parameters, f.flops, f.diverged_epoch) for f in (a, b)]
        assert counts[0] == counts[1]
        assert set(a.cost) - {"n_iterations"} == set(b.cost)  # counted by the reference alone


@pytest.mark.parametrize("rule", RULE_NAMES)
def test_after_thirty_epochs_accuracies_agree(rule):
    train = changed(TRAIN, epochs=30, watch=False)
    trials = [
        trial(rule, seed=seed, lr=1e-2, batch=128, activation=activation)
        for seed in range(3)
        for activation in ACTIVATIONS
    ]
    pairs = both(part(300), trials, train, ECONOMY)
    shifts = np.array([(a.accuracy - b.accuracy) * 288 for a, b in pairs])
    assert (np.abs(shifts) <= 2.01).mean() >= 0.8
    assert abs(shifts.mean()) <= 1
    assert min(b.accuracy for _, b in pairs) > 0.85


@pytest.mark.parametrize("batch", [1, 7, 33, 64, 1000])
@pytest.mark.parametrize("rule", RULE_NAMES)
def test_any_batch_will_do_and_the_incomplete_last_one_is_kept(rule, batch):
    trials = some(rule, batch=batch)[:1]
    pairs = both(part(45), trials, changed(TRAIN, epochs=1), ECONOMY)
    assert gap(pairs) <= 1e-5
    assert pairs[0][1].n_steps == -(-45 // batch)


@pytest.mark.parametrize("rule", RULE_NAMES)
def test_a_batch_as_large_as_the_held_samples_does_not_stand_in_for_them(rule):
    pairs = both(part(300), some(rule, batch=288), TRAIN, PLAIN)
    assert gap(pairs) <= 1e-5


@pytest.mark.parametrize(("inputs", "classes"), [(2, 2), (5, 3), (41, 19)])
@pytest.mark.parametrize("rule", RULE_NAMES)
def test_any_number_of_inputs_and_classes_will_do(rule, inputs, classes):
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(50, inputs, generator=rng)
    y = torch.randint(classes, (50,), generator=rng)
    data = Data(x[:30], y[:30], x[30:], y[30:], classes)
    pairs = both(data, some(rule), TRAIN, PLAIN)
    assert gap(pairs) <= 1e-5
    assert all(np.array_equal(a.predicted, b.predicted) for a, b in pairs)


def test_exclusive_or_is_learnt():
    x = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    y = torch.tensor([0, 1, 1, 0])
    data = Data(x, y, x, y, 2)
    train = changed(TRAIN, epochs=300, watch=False)
    fits = fit_fused(data, [trial(rule, lr=1e-2, batch=3) for rule in RULE_NAMES], train, PLAIN)
    assert [fit.accuracy for fit in fits] == [1, 1, 1]


@pytest.mark.parametrize("rule", RULE_NAMES)
def test_bytes_are_learnt_as_the_numbers_they_stand_for(rule):
    whole = digits()
    pixels, held = ((x * 16).byte() for x in (whole.x, whole.held_x))
    data = Data(pixels, whole.y, held, whole.held_y, 10)
    numbers = dataclasses.replace(data, x=pixels.float() / 255, held_x=held.float() / 255)
    one, other = (fit_fused(each, some(rule), TRAIN, PLAIN) for each in (data, numbers))
    assert [a.parameter_hash for a in one] == [b.parameter_hash for b in other]


def test_neither_company_nor_order_changes_a_bit():
    trials = [one for rule in RULE_NAMES for one in some(rule) + some(rule, "relu")]
    together = fit_fused(part(100), trials, TRAIN, PLAIN)
    reversed_ = fit_fused(part(100), trials[::-1], TRAIN, PLAIN)[::-1]
    alone = [fit_fused(part(100), [one], TRAIN, PLAIN)[0] for one in trials]
    for a, b, c in zip(together, reversed_, alone, strict=True):
        assert a.parameter_hash == b.parameter_hash == c.parameter_hash
        assert a.losses == b.losses == c.losses
    assert len({fit.parameter_hash for fit in together}) == len(trials)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("rule", RULE_NAMES)
def test_a_trial_diverges_in_the_same_epoch_and_alone(rule, activation):
    trials = some(rule, activation)
    trials[1] = trials[1]._replace(lr=1e37)
    pairs = both(part(300), trials, TRAIN, PLAIN)
    for a, b in pairs:
        assert (a.status, a.diverged_epoch) == (b.status, b.diverged_epoch)
        assert (a.loss is None) == (b.loss is None) == (a.status == "diverged")
        assert a.accuracy == pytest.approx(b.accuracy, abs=2.01 / 288)
    assert [b.status for _, b in pairs] == ["ok", "diverged", "ok"]


@pytest.mark.parametrize("rule", RULE_NAMES)
def test_unwatched_trials_are_scored_once(rule):
    watched, once = (
        fit_fused(part(100), some(rule), changed(TRAIN, watch=watch), PLAIN)
        for watch in (True, False)
    )
    for a, b in zip(watched, once, strict=True):
        assert (len(a.losses), a.losses[-1:], a.curve[-1:]) == (2, b.losses, b.curve)


def test_phases_add_up_to_the_time_of_a_trial():
    cost = fit_fused(part(100), [trial()], TRAIN, PLAIN)[0].cost
    names = {f"{name}_s" for name in ("data", "free", "nudged", "update", "evaluate")}
    assert set(cost) == {"fit_s", "cpu_s"} | names
    assert sum(cost[name] for name in names) == pytest.approx(cost["fit_s"])


def test_double_precision_and_odd_widths_are_refused():
    with pytest.raises(ValueError, match="float64: the fused trainer computes in float32 only"):
        fit_fused(digits(torch.float64), [trial()], TRAIN, PLAIN)
    with pytest.raises(ValueError, match="hidden is 12: the fused trainer needs a multiple of 8"):
        fit_fused(digits(SINGLE), [trial(hidden=12)], TRAIN, PLAIN)
