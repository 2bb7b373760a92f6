"""The original's rule is what the specification says, faults included, and so are its repairs."""

import itertools

import numpy as np
import pytest
import torch
from torch.nn.functional import cosine_similarity, cross_entropy

from scripts.lib.torch_rng import torch_rng
from scripts.tep_bp.models.interface import Data, data_of
from scripts.tep_bp.models.legacy import transformer_block as blocks
from scripts.tep_bp.models.legacy.legacy import fit_legacy
from scripts.tep_bp.models.legacy.two_phases import solve
from scripts.tep_bp.models.stacked.optimiser import Adam
from scripts.tep_bp.options import Faults
from tests.tep_files import read
from tests.tep_legacy import NaiveBlock, naive_losses, samples, stacked, step, trials
from tests.tep_nets import TRAIN, changed

LEGACY = Faults(
    difference="one_sided", nudge="batch_mean", stop="early", free_steps=25, nudged_steps=25,
    damping=0.9, tol=1e-4,
)  # fmt: skip
# The original's first; the other is its repair.
SWITCHES = {
    "difference": ("one_sided", "centred"),
    "nudge": ("batch_mean", "per_sample"),
    "stop": ("early", "never"),
}
REPAIRED = changed(LEGACY, difference="centred", nudge="per_sample", stop="never")
CHOICES = [dict(zip(SWITCHES, one, strict=True)) for one in itertools.product(*SWITCHES.values())]
SOON = {"tol": 1e-3}  # small nets stop early


@torch.no_grad()
def test_attention_over_one_key_is_a_constant_input():
    trial, x = trials(1, hidden=16)[0], samples().x
    start, rng = blocks.initial_block(trial, 5, 3), torch_rng(9)
    start = start._replace(
        **{
            name: torch.randn(1, 16, generator=rng, dtype=torch.float64)
            for name in ("scale_z", "shift_z", "scale_f", "shift_f")
        }
    )
    net, h = NaiveBlock(start, 3), torch.randn(43, 16, generator=rng, dtype=torch.float64)
    block = blocks.viewed(blocks.flattened(start)[None], start)
    found = blocks.equation(blocks.loop(block), blocks.drive(block, x[None]), h[None])[0]
    embedded = net.embedding(x)
    assert float((found - net(h, embedded)).abs().max()) < 1e-13
    attended = net(h, embedded, attends=True)
    assert 1e-9 < float((found - attended).abs().max()) < 1e-5
    for layer in (net.q, net.k):
        layer.weight.normal_(generator=rng)
    assert float((net(h, embedded, attends=True) - attended).abs().max()) < 1e-5


@pytest.mark.parametrize("switched", CHOICES, ids=lambda one: "-".join(one.values()))
def test_a_stack_learns_what_a_plain_loop_learns(switched):
    data, switches = samples(), changed(LEGACY, **switched, **SOON)
    fits = fit_legacy(data, trials(2), TRAIN, switches)
    for fit, trial in zip(fits, trials(2), strict=True):
        assert fit.losses == pytest.approx(naive_losses(data, trial, TRAIN, switches), rel=1e-9)


def test_every_switch_changes_what_is_learnt():
    fits = [
        fit_legacy(samples(), trials(1), TRAIN, changed(LEGACY, **one, **SOON))[0]
        for one in CHOICES
    ]
    gaps = np.diff(np.sort([fit.losses[-1] for fit in fits]))
    assert gaps.min() > 1e-7


@pytest.mark.parametrize("difference", SWITCHES["difference"])
def test_gradients_are_those_of_the_losses_by_autograd(difference):
    data, switches = samples(), changed(REPAIRED, difference=difference)
    trial = trials(1)[0]
    found = step([trial], data.x, data.y, 3, switches).gradient()
    net = NaiveBlock(blocks.initial_block(trial, 5, 3), 3)
    net.loss(data.x, data.y, trial.beta, switches).backward()
    named = dict(zip(blocks.Block._fields, found, strict=True))
    layers = {"e": net.embedding, "v": net.v, "o": net.o, "1": net.first, "2": net.second}
    for name, layer in (layers | {"h": net.head}).items():
        n = len(layer.weight)
        weight, bias = named[f"W_{name}"][0].T, named[f"b_{name}"][0, 0]
        assert torch.allclose(weight[:n], layer.weight.grad, rtol=1e-9, atol=1e-13)
        assert torch.allclose(bias[:n], layer.bias.grad, rtol=1e-9, atol=1e-13)
        assert not weight[n:].any()
        assert not bias[n:].any()
    assert torch.allclose(named["scale_z"].flatten(), net.norms[1].weight.grad, atol=1e-13)
    assert torch.allclose(named["shift_f"].flatten(), net.norms[2].bias.grad, atol=1e-13)


def test_adam_steps_as_pytorch_s_does_at_each_trial_s_rate():
    rng = torch_rng(5)
    start = torch.randn(2, 7, generator=rng).double()
    gradients = torch.randn(5, 2, 7, generator=rng).double()
    found = start.clone()
    two = [trial._replace(lr=lr) for trial, lr in zip(trials(2), (0.1, 0.003), strict=True)]
    adam = Adam(found, two, changed(TRAIN, adam_eps=0.01))
    for gradient in gradients:
        adam.step(gradient)
    for i, lr in enumerate((0.1, 0.003)):
        expected = start[i].clone().requires_grad_()
        torch_adam = torch.optim.Adam([expected], lr, (0.9, 0.999), 0.01)
        for gradient in gradients:
            expected.grad = gradient[i]
            torch_adam.step()
        assert torch.allclose(found[i], expected, rtol=1e-6)


@pytest.mark.parametrize("switches", [LEGACY, REPAIRED], ids=["legacy", "repaired"])
def test_a_trial_s_numbers_do_not_depend_on_its_stack(switches):
    data, chosen = samples(torch.float32), trials(5, hidden=16)
    together = fit_legacy(data, chosen, TRAIN, switches)
    turned = fit_legacy(data, chosen[::-1], TRAIN, switches)[::-1]
    alone = [fit_legacy(data, [trial], TRAIN, switches)[0] for trial in chosen]
    for other in (turned, alone):
        for a, b in zip(together, other, strict=True):
            assert (a.parameter_hash, a.losses, a.audit) == (b.parameter_hash, b.losses, b.audit)
            assert np.array_equal(a.predicted, b.predicted)
    assert len({fit.parameter_hash for fit in together}) == 5


RATES = torch.tensor([0.05, 0.6, 0.95], dtype=torch.float64).view(-1, 1, 1)


def contraction(rates: torch.Tensor):
    return lambda h: rates * h + 1


def test_a_trial_stops_by_itself_and_then_keeps_its_state():
    start = torch.zeros(3, 2, 4, dtype=torch.float64)
    states, counts = solve(contraction(RATES), start, 40, LEGACY)
    for i in range(3):
        state, count = solve(contraction(RATES[i : i + 1]), start[:1], 40, LEGACY)
        assert torch.equal(states[i], state[0])
        assert counts[i] == count[0]
    assert counts.tolist() == [8, 20, 40]
    _, counts = solve(contraction(RATES), start, 40, changed(LEGACY, stop="never"))
    assert counts.tolist() == [40, 40, 40]


def test_the_slowest_sample_of_a_trial_decides_when_it_stops():
    rates = RATES[:2].view(1, 2, 1)
    start = torch.zeros(1, 2, 4, dtype=torch.float64)
    assert solve(contraction(rates), start, 40, LEGACY)[1].tolist() == [20]
    assert solve(contraction(rates[:, :1]), start[:, :1], 40, LEGACY)[1].tolist() == [8]


@pytest.mark.parametrize(("damping", "stops", "honest"), [(0.5, 16, 18), (0.9, 6, 8), (0.99, 3, 7)])
def test_the_tested_residual_is_the_true_one_times_one_minus_the_damping(damping, stops, honest):
    tol, rate, h, tested, true = 1e-3, 0.3, 0.0, [], []
    for _ in range(30):
        residual = abs(rate * h + 1 - h)
        tested.append((1 - damping) * residual < tol)
        true.append(residual < tol)
        h = (1 - damping) * h + damping * (rate * h + 1)
    assert (tested.index(True) + 1, true.index(True) + 1) == (stops, honest)
    switches = changed(LEGACY, damping=damping, tol=tol)
    start = torch.zeros(1, 1, 1, dtype=torch.float64)
    count = solve(contraction(torch.full((1, 1, 1), rate).double()), start, 19, switches)[1]
    assert count.tolist() == [stops]


@pytest.mark.parametrize(("steps", "every"), [(5, 1), (19, 1), (25, 2), (39, 3), (80, 5)])
def test_the_residual_is_tested_every_tenth_of_the_steps(steps, every):
    start = torch.zeros(1, 1, 1, dtype=torch.float64)
    count = solve(contraction(torch.zeros(1, 1, 1)), start, steps, changed(LEGACY, tol=1.0))[1]
    assert count.tolist() == [every]


def test_a_nudge_per_sample_does_not_depend_on_the_batch_and_the_mean_does():
    data, shift = samples(), {}
    for nudge in SWITCHES["nudge"]:
        switches = changed(LEGACY, nudge=nudge, stop="never")
        full = step(trials(2), data.x, data.y, 3, switches)
        alone = step(trials(2), data.x[:1], data.y[:1], 3, switches)
        moved = [(one.plus - one.h)[:, :1] for one in (full, alone)]
        shift[nudge] = float((moved[0] - moved[1]).abs().max() / moved[1].abs().max())
    assert shift["per_sample"] < 1e-10
    assert shift["batch_mean"] > 0.5


def test_one_sided_differences_point_the_wrong_way_at_first_and_centred_ones_do_not():
    digits = data_of(read({"kind": "digits"}, 0), ["train"], "val")
    x, y = digits.x[:32].double(), digits.y[:32]
    chosen = trials(3, hidden=64, beta=0.1)
    block = stacked(chosen, 64, 10)
    u, at = blocks.drive(block, x.expand(3, -1, -1)), blocks.loop(block)
    h = torch.zeros_like(u)
    for _ in range(150):
        h = torch.lerp(h, blocks.equation(at, u, h), 0.9)
    logits = blocks.logits(block, h).flatten(0, 1)
    loss = cross_entropy(logits, y.repeat(3), reduction="sum") / 32
    true = torch.autograd.grad(loss, block)

    def alignment(switches: Faults) -> torch.Tensor:
        found = step(chosen, x, y, 10, switches).gradient()
        pair = (torch.cat([part.flatten(1) for part in one[:-2]], 1) for one in (found, true))
        return cosine_similarity(*pair)

    assert bool((alignment(LEGACY) < -0.06).all())
    assert bool((alignment(REPAIRED) > 0.4).all())
    converged = {"free_steps": 150, "nudged_steps": 150, "nudge": "per_sample", "stop": "never"}
    assert bool((alignment(changed(LEGACY, **converged)) > 0.3).all())


def test_a_centred_gradient_has_the_size_of_the_mean_loss_s_for_both_nudges():
    data, size = samples(), {}
    for nudge in SWITCHES["nudge"]:
        found = step(trials(1, beta=1e-3), data.x, data.y, 3, changed(REPAIRED, nudge=nudge))
        size[nudge] = torch.cat([part.flatten() for part in found.gradient()])
    gap = (size["per_sample"] - size["batch_mean"]).norm() / size["per_sample"].norm()
    assert float(gap) < 1e-3


@pytest.mark.parametrize("switches", [LEGACY, REPAIRED], ids=["legacy", "repaired"])
def test_a_trial_that_diverges_leaves_its_neighbour_alone(switches):
    data, (good, bad) = samples(torch.float32), trials(2)
    bad = bad._replace(lr=1e30)
    fits = fit_legacy(data, [bad, good], TRAIN, switches)
    alone = fit_legacy(data, [good], TRAIN, switches)[0]
    assert (fits[0].status, fits[0].diverged_epoch, fits[0].loss) == ("diverged", 1, None)
    assert (fits[1].status, fits[1].diverged_epoch) == ("ok", None)
    assert (fits[1].parameter_hash, fits[1].losses) == (alone.parameter_hash, alone.losses)


def test_padding_is_never_predicted_however_large_the_logits():
    fits = fit_legacy(samples(), trials(5, lr=1e6), TRAIN, REPAIRED)
    assert all(set(fit.predicted) <= {0, 1, 2} for fit in fits)
    assert max(fit.losses[-1] for fit in fits) > 1e4


@pytest.mark.parametrize(("d", "reported"), [(21, 7192), (110, 155_110)])
def test_a_trial_has_the_parameters_of_the_original_without_the_dead_ones(d, reported):
    x = torch.zeros(1, 64)
    data = Data(x, torch.tensor([0]), x, torch.tensor([0]), 10)
    fit = fit_legacy(data, trials(1, hidden=d), changed(TRAIN, epochs=1), LEGACY)[0]
    dead = 2 * (d**2 + d) + 2 * d
    assert fit.n_parameters == reported - dead
    block = blocks.initial_block(trials(1, hidden=d)[0], 64, 10)
    padding = 6 * d + 6
    assert fit.n_parameters == sum(part.numel() for part in block) - padding


def test_work_is_counted_by_the_iterations_done():
    data, d, classes = samples(), 8, 3
    never = fit_legacy(data, trials(1), TRAIN, REPAIRED)[0]
    drive, reading, f = 2 * 5 * d + 4 * d * d, 2 * d * classes, 16 * d * d
    sample = 3 * (drive + f + reading) + 75 * f + 50 * 2 * reading
    assert never.flops == 2 * (43 * sample + 20 * (drive + 25 * f + reading))
    assert never.audit == {"free_iterations": 25, "nudged_iterations": 25}
    early = fit_legacy(data, trials(1), TRAIN, changed(REPAIRED, stop="early", tol=0.1))[0]
    assert early.flops < never.flops / 2
    assert early.audit["free_iterations"] < 10
    assert early.audit["nudged_iterations"] < 10
    assert early.n_steps == never.n_steps == 6


def test_watching_changes_no_number():
    watched, unwatched = (
        fit_legacy(samples(), trials(2), changed(TRAIN, watch=watch), LEGACY)[1]
        for watch in (True, False)
    )
    assert unwatched.losses == watched.losses[-1:]
    assert unwatched.curve == watched.curve[-1:]
    assert len(watched.curve) == 2
    assert watched.curve[-1] == float(np.mean(watched.predicted == samples().held_y.numpy()))


def test_bytes_are_pixels_of_0_to_1():
    data = samples()
    x = torch.randint(0, 256, (63, 5), generator=torch_rng(1), dtype=torch.uint8)
    small = Data(x[:43], data.y, x[43:], data.held_y, 3)
    large = Data(x[:43].float() / 255, data.y, x[43:].float() / 255, data.held_y, 3)
    fits = [fit_legacy(one, trials(2), TRAIN, LEGACY)[0] for one in (small, large)]
    assert fits[0].parameter_hash == fits[1].parameter_hash


def test_phases_add_up_to_the_time_of_a_fit():
    cost = fit_legacy(samples(), trials(2), TRAIN, LEGACY)[0].cost
    phases = {f"{name}_s" for name in ("data", "free", "nudged", "update", "evaluate")}
    assert set(cost) == phases | {"fit_s", "cpu_s"}
    assert sum(cost[name] for name in phases) == pytest.approx(cost["fit_s"])


def test_what_cannot_be_trained_is_refused_in_one_sentence():
    with pytest.raises(ValueError, match="differ in width or batch size"):
        fit_legacy(samples(), trials(1) + trials(1, batch=8), TRAIN, LEGACY)
