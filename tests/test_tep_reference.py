"""A trial of the reference: optimiser, contraction, scores, audit and books."""

import hashlib
import math

import numpy as np
import pytest
import torch

from scripts.lib.timing import Phases
from scripts.tep_bp.models.audit import audit
from scripts.tep_bp.models.interface import Data, batch_orders, initial
from scripts.tep_bp.models.reference.learning_rules import RULES
from scripts.tep_bp.models.reference.trial import adam, fit_trial, loader, network
from tests.tep_nets import (
    HEAD,
    LOOP,
    PLAIN,
    RULE_NAMES,
    SETTLED,
    TRAIN,
    batch,
    changed,
    digits,
    gradients,
    half_trained,
    trial,
)


@pytest.mark.parametrize("rule", RULE_NAMES)
def test_the_first_step_of_adam_is_the_formula_and_only_matrices_decay(rule):
    one, (x, y) = trial(rule, weight_decay=0.1), batch()
    net = network(one, digits(), PLAIN)
    optimizer = adam(net, one, TRAIN)
    start = {name: p.detach().clone() + 0.01 for name, p in net.named_parameters()}
    with torch.no_grad():
        for name, p in net.named_parameters():
            p.copy_(start[name])
    slopes = gradients(net, one, x, y)
    optimizer.step()
    for name, p in net.named_parameters():
        g, decay = slopes[name], 0.1 if name in ("W_x", "W", "W_o") else 0.0
        expected = start[name] * (1 - one.lr * decay) - one.lr * g / (g.abs() + TRAIN.adam_eps)
        assert (p - expected).abs().max() <= 1e-12


@pytest.mark.parametrize(("cap", "low", "high"), [(0.9, 0.88, 0.96), (math.inf, 1.2, 9)])
def test_training_keeps_the_recurrent_weights_symmetric_and_contracting(cap, low, high):
    one = trial("rbp", weight_decay=0.0)
    net, norms = network(one, digits(), PLAIN), []
    optimizer = adam(net, one, TRAIN)
    for _ in range(12):
        for x, y in loader(digits(), one, TRAIN):
            RULES["rbp"](net, x, y, one, TRAIN, Phases())
            optimizer.step()
            net.contract(cap, 2)
            norms.append(torch.linalg.matrix_norm(net.W.detach(), 2).item())
            assert torch.equal(net.W, net.W.T)
    assert low <= max(norms) <= high


@pytest.mark.parametrize("seed", range(5))
def test_the_power_iteration_goes_on_where_it_stopped(seed):
    # After a large step it misses the norm at first, then comes down to the cap for good.
    net = network(trial(seed=seed), digits(), PLAIN)
    with torch.no_grad():
        net.W.mul_(6)
    norms = []
    for _ in range(300):
        net.contract(0.9, 2)
        norms.append(torch.linalg.matrix_norm(net.W.detach(), 2).item())
    assert norms[0] > 1
    assert norms[-1] == pytest.approx(0.9, abs=1e-3)
    assert max(np.diff(norms)) <= 1e-12


def test_a_small_matrix_is_left_as_it_is_but_for_symmetry():
    net = network(trial(), digits(), PLAIN)
    with torch.no_grad():
        net.W[0, 1] += 0.02
        expected = (net.W + net.W.T) / 2
    net.contract(0.9, 2)
    assert torch.equal(net.W, expected)


@pytest.mark.parametrize("rule", RULE_NAMES)
def test_a_trial_learns_and_its_books_balance(rule):
    one, data = trial(rule), digits(torch.float32)
    fit = fit_trial(data, one, changed(TRAIN, epochs=6), PLAIN)
    assert fit.status == "ok"
    assert fit.curve[0] < 0.5
    assert fit.accuracy > 0.7
    assert fit.losses[-1] < 1.5 < fit.losses[0]
    assert len(fit.curve) == len(fit.losses) == 6
    assert np.mean(fit.predicted == data.held_y.numpy()) == fit.accuracy
    assert fit.n_steps == 6 * 5
    assert fit.n_parameters == 64 * 32 + 32 + (0 if rule == "bp" else 32 * 33 / 2) + 320 + 10
    phases = [fit.cost[f"{name}_s"] for name in ("data", "free", "nudged", "update", "evaluate")]
    assert min(phases) > 0
    assert sum(phases) == pytest.approx(fit.cost["fit_s"])
    assert set(fit.cost) - {"fit_s", "cpu_s", "n_iterations"} == {
        f"{name}_s" for name in ("data", "free", "nudged", "update", "evaluate")
    }


@pytest.mark.parametrize("rule", RULE_NAMES)
def test_watching_changes_nothing_but_what_is_reported(rule):
    watched = fit_trial(digits(), trial(rule), TRAIN, PLAIN)
    blind = fit_trial(digits(), trial(rule), changed(TRAIN, watch=False), PLAIN)
    assert blind.curve == watched.curve[-1:]
    assert blind.losses == watched.losses[-1:]
    assert blind.parameter_hash == watched.parameter_hash


@pytest.mark.parametrize("rule", RULE_NAMES)
def test_a_trial_is_its_seed(rule):
    hashes = [
        fit_trial(digits(torch.float32), trial(rule, seed=seed), TRAIN, PLAIN).parameter_hash
        for seed in (1, 1, 2)
    ]
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.parametrize("rule", RULE_NAMES)
def test_batches_come_in_the_order_of_the_seed_whatever_the_rule(rule):
    batches, orders = loader(digits(), trial(rule), TRAIN), batch_orders(trial())
    for _ in range(2):
        epoch, order = list(batches), torch.randperm(300, generator=orders)
        assert [len(x) for x, _ in epoch] == [64, 64, 64, 64, 44]
        assert torch.equal(torch.cat([x for x, _ in epoch]), digits().x[order])
        assert torch.equal(torch.cat([y for _, y in epoch]), digits().y[order])


@pytest.mark.parametrize(
    "change",
    [
        {"betas": [0.8, 0.999]},
        {"betas": [0.9, 0.99]},
        {"adam_eps": 1e-3},
        {"spectral_cap": 0.3},
        {"power_steps": 1},
        {"difference": "one_sided"},
        {"omega": 1.1},
        {"mu": 0.1},
        {"free": 19},
        {"nudged": 9},
    ],
    ids=str,
)
def test_every_setting_counts(change):
    train = changed(TRAIN, spectral_cap=0.4)  # lower than where W starts
    others = [
        changed(which, **{key: value for key, value in change.items() if hasattr(which, key)})
        for which in (train, PLAIN)
    ]
    fits = [fit_trial(digits(), trial(), *settings) for settings in ((train, PLAIN), others)]
    assert fits[0].parameter_hash != fits[1].parameter_hash


def test_processes_that_load_the_data_change_no_bit():
    fits = [
        fit_trial(digits(torch.float32), trial("bp"), changed(TRAIN, workers=n), PLAIN)
        for n in (0, 1)
    ]
    assert fits[0].parameter_hash == fits[1].parameter_hash


@pytest.mark.parametrize("rule", RULE_NAMES)
def test_bytes_are_learnt_as_fractions(rule):
    pixels, held = ((x * 16).byte() for x in (digits().x, digits().held_x))
    y, held_y = digits().y, digits().held_y
    fractions = Data(pixels.float() / 255, y, held.float() / 255, held_y, 10)
    fits = [
        fit_trial(data, trial(rule), TRAIN, PLAIN)
        for data in (Data(pixels, y, held, held_y, 10), fractions)
    ]
    assert fits[0].parameter_hash == fits[1].parameter_hash
    assert fits[0].losses == fits[1].losses


@pytest.mark.parametrize("rule", RULE_NAMES)
def test_a_trial_that_diverges_has_its_real_accuracy_and_no_loss(rule):
    one = trial(rule, lr=1e37, activation="relu")
    fit = fit_trial(digits(torch.float32), one, changed(TRAIN, epochs=3), PLAIN)
    assert (fit.status, fit.diverged_epoch, fit.loss) == ("diverged", 1, None)
    assert 0 <= fit.accuracy <= 1
    assert len(fit.curve) == 3
    assert fit.audit == {}


@pytest.mark.parametrize("rule", RULE_NAMES)
def test_the_hash_is_that_of_the_parameters_in_order_as_float32(rule):
    # A step size of zero keeps the trial where it starts, and W there is symmetric and small.
    fit = fit_trial(digits(), trial(rule, lr=0.0), TRAIN, PLAIN)
    start = initial(trial(rule), 64, 10)
    names = ("W_x", "b", "W_o", "b_o") if rule == "bp" else (*LOOP, *HEAD)
    content = b"".join(start[name].numpy().astype(np.float32).tobytes() for name in names)
    assert fit.parameter_hash == hashlib.sha256(content).hexdigest()[:16]


def parameters(net: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: parameter.detach() for name, parameter in net.named_parameters()}


def test_the_audit_measures_the_fixed_points_of_the_held_samples():
    one, data = trial(), digits()
    brief = changed(PLAIN, free=4, nudged=2)
    net = half_trained(one, brief)
    found = audit(parameters(net), data, one, brief)
    w_x, b, w, w_o, b_o = (p.detach() for p in net.parameters())
    drive, truth = data.held_x @ w_x + b, torch.eye(10)[data.held_y]

    def turn(h: torch.Tensor, beta: float) -> torch.Tensor:
        p = torch.softmax(h @ w_o + b_o, 1)
        return torch.tanh(drive + h @ w - beta * (p - truth) @ w_o.T)

    h = torch.zeros_like(drive)
    for beta, steps, name in ((0.0, 4, "residual_free"), (one.beta, 2, "residual_nudged")):
        for _ in range(steps):
            h = turn(h, beta)
        residual = (turn(h, beta) - h).abs()
        assert found[name] == pytest.approx(residual.quantile(0.99).item(), rel=1e-9)
        if beta == 0:
            assert found["residual_free_max"] == pytest.approx(residual.max().item(), rel=1e-9)
    top = torch.linalg.svdvals(w)[0].item()
    assert found["spectral_norm"] == pytest.approx(top, rel=1e-9)
    bound = top + one.beta / 2 * torch.linalg.svdvals(w_o)[0].item() ** 2
    assert found["nudged_bound"] == pytest.approx(bound, rel=1e-9)
    settled = audit(parameters(net), data, one, SETTLED)
    assert found["residual_free"] > 1e-4 > settled["residual_free"]


def test_the_audit_reports_what_a_rule_has():
    keys = {"residual_free", "residual_free_max", "spectral_norm"}
    assert set(fit_trial(digits(), trial("rbp"), TRAIN, PLAIN).audit) == keys
    assert fit_trial(digits(), trial("bp"), TRAIN, PLAIN).audit == {}
