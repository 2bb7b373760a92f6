"""What stacked training keeps to: padding is idle, the loop contracts, work is counted."""

import pytest
import torch
from torch.linalg import matrix_norm

from scripts.lib.timing import Phases
from scripts.tep_bp.models.audit import trial_flops
from scripts.tep_bp.models.stacked import dynamics
from scripts.tep_bp.models.stacked.gradients import GRADIENTS, probabilities
from scripts.tep_bp.models.stacked.optimiser import contract
from scripts.tep_bp.models.stacked.stacked import batch, training
from scripts.tep_bp.plans.space import Trial
from tests.tep_nets import PLAIN, RULE_NAMES, TRAIN, changed, digits, trial

SINGLE, DOUBLE = torch.float32, torch.float64


def mixed(rule: str, hidden: int, **changes) -> list[Trial]:
    """A stack of both activations, tanh first."""
    kinds = ("tanh", "tanh", "relu", "relu")
    options = {"hidden": hidden, "weight_decay": 1e-2} | changes
    return [trial(rule, activation=kind, seed=i, **options) for i, kind in enumerate(kinds)]


@pytest.mark.parametrize("rule", RULE_NAMES)
def test_classes_that_only_fill_a_line_get_neither_probability_nor_gradient(rule):
    data, trials = digits(SINGLE, 125), mixed(rule, 16)
    with torch.inference_mode():
        *_, (own, rho) = training(data, trials, TRAIN, PLAIN, Phases())
        x, y = batch(data, torch.arange(61).expand(4, 61))
        h = rho(dynamics.drive(x, own.W_x, own.b))
        p, found = probabilities(h, own), own.like()
        beta = torch.full((4, 1, 1), 0.2)
        GRADIENTS[rule](x, y, own, rho, beta, PLAIN, found, Phases())
    assert p.shape[2] == 16
    assert (p[..., 10:] == 0).all()
    assert (p[..., :10] > 0).all()
    assert (own.W_o[..., 10:] == 0).all()
    assert (own.b_o[..., 10:] == -1e4).all()
    for part in (found.W_o, found.b_o):
        assert (part[..., 10:] == 0).all()
        assert (part[..., :10] != 0).any()


def test_the_recurrent_weights_stay_symmetric_and_below_the_cap():
    data, trials = digits(SINGLE, 125), mixed("tep", 32, lr=0.05)
    norms = {}
    for cap, steps in ((0.9, 1000), (0.9, 2), (1e3, 2)):
        train = changed(TRAIN, spectral_cap=cap, power_steps=steps)
        with torch.inference_mode():
            *_, (own, _) = training(data, trials, train, PLAIN, Phases())
            assert torch.equal(own.W, own.W.mT)
            norms[cap, steps] = matrix_norm(own.W, 2)
    assert (norms[0.9, 1000] <= 0.901).all()
    assert (norms[0.9, 1000] >= 0.8).all()
    # Few iterations see less than the norm while the weights still move fast.
    assert (norms[0.9, 2] <= 1.05).all()
    assert (norms[1e3, 2] > 1.2).all()


def test_long_power_iterations_leave_exactly_the_cap_and_small_weights_as_they_are():
    rng = torch.Generator().manual_seed(0)
    w = torch.randn(3, 24, 24, generator=rng, dtype=DOUBLE)
    w[1] /= 100
    u, before = torch.ones(3, 24, dtype=DOUBLE), (w + w.mT) / 2
    contract(w, u, 0.9, 3000)
    assert torch.equal(w[1], before[1])
    for i in (0, 2):
        expected = before[i] * (0.9 / matrix_norm(before[i], 2))
        assert (w[i] - expected).abs().max() <= 1e-9


# GFLOP of a trial of 30 epochs in docs/studies/tep_bp.md, to the digits that are printed there.
TABLE = {
    "tep": {8: "0.52", 16: "1.5", 32: "4.6", 64: "15.8", 128: "58", 256: "222"},
    "bp": {8: "0.10", 16: "0.19", 32: "0.39", 64: "0.78", 128: "1.6", 256: "3.1"},
}


@pytest.mark.parametrize("rule", TABLE)
def test_flops_are_those_of_the_table_in_the_documentation(rule):
    data = digits(SINGLE, 1149)
    assert (len(data.x), len(data.held_x)) == (1149, 288)
    for hidden, printed in TABLE[rule].items():
        found = (
            trial_flops(trial(rule, hidden=hidden), data, changed(TRAIN, epochs=30), PLAIN) / 1e9
        )
        half = 0.5 * 10 ** -len(printed.partition(".")[2])
        assert found == pytest.approx(float(printed), rel=0.03, abs=half)
