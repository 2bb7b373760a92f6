"""What the original proposes for the free phase: what each does to the states and the gradient."""

import pytest
import torch

from scripts.tep_bp.models.reference.free_phases import (
    LastStates,
    compile_free,
    gradient_cosine,
)
from scripts.tep_bp.models.reference.networks import until
from scripts.tep_bp.models.reference.trial import fit_trial, loader, network
from tests.tep_nets import (
    PLAIN,
    SETTLED,
    TRAIN,
    batch,
    changed,
    digits,
    gradients,
    half_trained,
    trial,
)

ADAPTIVE = changed(PLAIN, free=200, tol=1e-6)


def warm(**changes) -> dict:
    return changed(TRAIN, proposal="warm_start", **changes)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_the_adaptive_solver_stops_at_its_tolerance_near_the_fixed_point(activation):
    one, (x, _) = trial(activation=activation), batch()
    net = half_trained(one, ADAPTIVE)
    with torch.no_grad():
        drive = net.drive(x)
        h = net.free(drive)
        taken = net.taken
        assert 5 < taken < ADAPTIVE.free
        assert (net.loop(drive, h) - h).abs().max() <= ADAPTIVE.tol
        net.solver = SETTLED
        # |W| <= 0.9, so the distance left is at most nine times the last step.
        assert (net.free(drive) - h).abs().max() <= 10 * ADAPTIVE.tol
        net.solver = changed(PLAIN, free=taken - 2)
        short = net.free(drive)
        assert (net.loop(drive, short) - short).abs().max() > ADAPTIVE.tol


def test_the_most_iterations_are_never_passed():
    _, taken = until(lambda h: h + 1, torch.zeros(2), 7, 1e-3)
    assert taken == 7


def test_a_warm_start_goes_on_from_the_states_of_the_same_samples():
    net = half_trained(trial(), ADAPTIVE)
    last, (x, _) = LastStates(net, digits()), batch()
    rows = torch.arange(64)
    with torch.no_grad():
        drive, taken = net.drive(x), []
        for chosen in (rows, rows.flip(0)):
            with last.of(chosen):
                net.free(drive[chosen])
            taken.append(net.taken)
        assert taken[0] > 5
        assert taken[1] == 1
        # Outside, and for samples not seen before, the start is zero.
        net.free(drive)
        assert net.taken == taken[0]
        assert torch.equal(last.states[64:], torch.zeros_like(last.states[64:]))


def test_other_samples_states_would_not_do():
    net = half_trained(trial(), ADAPTIVE)
    last, (x, _) = LastStates(net, digits()), batch()
    with torch.no_grad():
        drive = net.drive(x)
        with last.of(torch.arange(64)):
            net.free(drive)
        with last.of(torch.arange(64)):
            net.free(drive.flip(0))
    assert net.taken > 3


def test_a_slow_training_takes_fewer_iterations_from_the_last_states():
    one = trial(lr=1e-4)
    cold, hot = (
        fit_trial(digits(), one, changed(TRAIN, epochs=4, proposal=proposal), ADAPTIVE)
        for proposal in ("none", "warm_start")
    )
    assert hot.n_steps == cold.n_steps
    assert hot.cost["n_iterations"] < 0.95 * cold.cost["n_iterations"]
    assert hot.curve == cold.curve
    assert hot.losses == pytest.approx(cold.losses, abs=1e-5)


def test_the_first_epoch_of_a_warm_start_is_a_cold_one():
    cold, hot = (
        fit_trial(digits(), trial(), changed(train, epochs=1), ADAPTIVE)
        for train in (TRAIN, warm())
    )
    assert hot.parameter_hash == cold.parameter_hash
    assert hot.cost["n_iterations"] == cold.cost["n_iterations"]


def test_row_numbers_name_the_samples_of_a_batch():
    data = digits()
    for x, y, rows in loader(data, trial(), warm()):
        assert torch.equal(data.x[rows], x)
        assert torch.equal(data.y[rows], y)


def test_the_plain_solver_counts_its_iterations():
    fitted = fit_trial(digits(), trial(), TRAIN, PLAIN)
    assert fitted.cost["n_iterations"] == fitted.n_steps * PLAIN.free
    assert "n_iterations" not in fit_trial(digits(), trial("bp"), TRAIN, PLAIN).cost


@pytest.mark.parametrize(("beta", "least"), [(1.0, 0.999), (0.2, 0.99)])
def test_bfloat16_bends_the_gradient_more_the_smaller_beta_is(beta, least):
    data, one = digits(torch.float32), trial(beta=beta)
    net = half_trained(one, PLAIN, data)
    cosine = gradient_cosine(net, data, one, TRAIN)
    assert least < cosine < 1
    assert gradient_cosine(net, data, trial(beta=0.001), TRAIN) < cosine


def test_without_a_proposal_the_gradient_is_the_same_bits_and_in_float32():
    data, one = digits(torch.float32), trial()
    net = half_trained(one, PLAIN, data)
    x, y = batch(dtype=torch.float32)
    usual, again, rough = (
        gradients(net, one, x, y, proposal=p) for p in ("none", "none", "bfloat16")
    )
    assert all(torch.equal(usual[name], again[name]) for name in usual)
    assert all(grad.dtype == torch.float32 for grad in rough.values())
    assert not torch.equal(usual["W"], rough["W"])


def test_the_cosine_is_reported_with_a_training_in_bfloat16():
    data = digits(torch.float32)
    fitted = fit_trial(data, trial(), changed(TRAIN, proposal="bfloat16"), PLAIN)
    assert 0.9 < fitted.audit["gradient_cosine"] < 1
    assert "gradient_cosine" not in fit_trial(data, trial(), TRAIN, PLAIN).audit


@pytest.mark.filterwarnings("ignore")  # of the compiler, on its own parts
def test_the_compiled_free_phase_is_the_eager_one_for_every_shape():
    for hidden, n in ((32, 64), (16, 33)):
        one, (x, _) = trial(hidden=hidden), batch(n, torch.float32)
        eager, compiled = (network(one, digits(torch.float32), PLAIN) for _ in range(2))
        compile_free(compiled, one, x)
        with torch.no_grad():
            expected, found = (net.state(x) for net in (eager, compiled))
            assert (found - expected).abs().max() <= 1e-6
            # It reads the weights as they are, not as they were.
            compiled.W.mul_(0)
            assert (compiled.state(x) - torch.tanh(compiled.drive(x))).abs().max() <= 1e-6
