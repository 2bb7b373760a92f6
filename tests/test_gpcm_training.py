"""The parts of a training: gradients, losses, optimizer steps, learning rates, kept epochs."""

import math

import numpy as np
import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts, ReduceLROnPlateau

from scripts.deep_gpcm.models.batches import Batch, Resident
from scripts.deep_gpcm.models.choices import evaluation, step_of
from scripts.deep_gpcm.models.fit import descend, parts
from scripts.deep_gpcm.models.loss import predict, row_losses, scored, shown
from scripts.deep_gpcm.models.optimizer import Schedule
from scripts.lib.plateau import Plateau
from scripts.lib.timing import Phases
from scripts.lib.torch_rng import torch_rng
from tests.gpcm_networks import DOUBLE, RAGGED, SINGLE, arm, batch, fold, gap, network

WAYS = [("stepwise", "loop"), ("hoisted", "loop"), ("tables", "fused")]


def train(name: str = "fused", **changes) -> dict:
    return arm(name, **changes).train


def descended(way: tuple, data: Batch, **changes) -> tuple[float, list[torch.Tensor]]:
    """Loss, and gradients of all parameters."""
    net = network()
    loss = descend(net, evaluation(*way), data, train(**changes), Phases())
    return loss, [p.grad for p in net.parameters()]


@pytest.mark.parametrize("way", WAYS)
def test_a_step_goes_down_the_mean_loss_of_the_answers(way):
    net, data = network(), batch((11, 1, 6, 2, 9), lowest=1)
    log_p, response, _ = scored(net, evaluation(*way), data, train())
    mean = torch.nn.functional.nll_loss(log_p, response)
    expected = torch.autograd.grad(mean, list(net.parameters()))
    loss, gradients = descended(way, data, clip=1e9)
    assert loss == pytest.approx(mean.item(), abs=1e-12)
    assert max(map(gap, gradients, expected)) <= 1e-12


def test_probabilities_and_losses_keep_their_digits_under_autocast():
    net, data = network(dtype=SINGLE), batch((30,) * 30, lowest=1)
    for way in WAYS:
        with torch.autocast("cpu", torch.bfloat16):
            log_p, response, heads = scored(net, evaluation(*way), data, train())
        assert {x.dtype for x in (log_p, *heads)} == {SINGLE}
        exact = -log_p.double().gather(1, response.unsqueeze(1)).sum()
        assert row_losses(log_p, response, "ce").sum().item() == pytest.approx(
            exact.item(), rel=1e-6
        )


@pytest.mark.parametrize("clip", [1e9, 0.01])
@pytest.mark.parametrize("accumulate", [2, 3, 50])
@pytest.mark.parametrize("way", WAYS)
def test_accumulated_gradients_are_those_of_the_whole_batch(way, accumulate, clip):
    data = batch((11, 1, 6, 2, 9), lowest=1)
    loss, expected = descended(way, data, clip=clip)
    accumulated, gradients = descended(way, data, clip=clip, accumulate=accumulate)
    assert accumulated == pytest.approx(loss, abs=1e-12)
    assert max(map(gap, gradients, expected)) <= 1e-12
    norm = torch.stack([g.norm() for g in gradients]).norm().item()
    assert norm > 0.02 if clip > 1 else norm == pytest.approx(clip, rel=1e-3)


def test_control_a_mean_of_means_is_not_the_mean_of_a_ragged_batch():
    data = batch((11, 1, 6, 2, 9), lowest=1)
    _, expected = descended(WAYS[2], data, clip=1e9)
    cuts = [descended(WAYS[2], part, clip=1e9)[1] for part in parts(data, 3)]
    means = [sum(gradients) / 3 for gradients in zip(*cuts, strict=True)]
    assert max(map(gap, means, expected)) > 1e-2


@pytest.mark.parametrize("way", [*WAYS, ("tables", "loop"), ("tables", "function")])
def test_a_batch_of_single_answers_has_gradients_of_zero_for_what_is_never_read(way):
    """Autograd has none at all there: the optimizers would skip what they should decay."""
    data = batch((1, 1, 1), lowest=1)
    loss, gradients = descended(way, data)
    expected_loss, expected = descended(("tables", "fused"), data)
    assert loss == pytest.approx(expected_loss, abs=1e-12)
    assert max(map(gap, gradients, expected)) <= 1e-12
    assert sum(not g.any() for g in gradients) == 6  # value, erase and add: weights and biases


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_the_fused_step_is_that_of_pytorch_s_module(optimizer):
    settings = train(optimizer=optimizer, weight_decay=0.01, betas=[0.8, 0.95], adam_eps=1e-5)
    nets = [network(), network()]
    plain = step_of("module", list(nets[0].parameters()), settings)
    fused = step_of("fused", list(nets[1].parameters()), settings)
    rng = torch_rng(5)
    for number in range(20):
        for p, q in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
            p.grad = torch.randn(p.shape, generator=rng, dtype=DOUBLE) * 10.0 ** (-number % 7)
            q.grad = p.grad.clone()
        for step in (plain, fused):
            step(0.01 / (1 + number % 3))
        for p, q in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
            assert gap(p, q) <= 1e-12
    assert min(map(gap, network().parameters(), nets[0].parameters())) > 0.01


@pytest.mark.parametrize("change", [{"optimizer": "adamw"}, {"weight_decay": 0.1}])
def test_control_another_optimizer_takes_other_steps(change):
    ends = []
    for settings in (train(weight_decay=0.01), train(**{"weight_decay": 0.01} | change)):
        net = network()
        step = step_of("fused", list(net.parameters()), settings)
        for size in (0.1, -0.2):
            for p in net.parameters():
                p.grad = torch.full_like(p, size)
            step(0.01)
        ends.append(net)
    assert gap(ends[0].question_key, ends[1].question_key) > 1e-5


def scores_of(seed: int) -> list[float]:
    """Scores that rise, stall or fall, of either sign, some of them equal or barely better."""
    rng = np.random.default_rng(seed)
    walk = rng.normal(0, 0.1, 60).cumsum() * rng.choice([1, 1e-4]) + rng.choice([-1, 0, 1])
    return (walk * (1 + rng.choice([0, 1e-4, 2e-4], 60))).round(rng.integers(1, 8)).tolist()


@pytest.mark.parametrize("patience", [0, 3])
def test_the_plateau_is_pytorch_s(patience):
    falls = []
    for seed in range(30):
        optimizer = torch.optim.SGD([torch.zeros(1)], lr=1e-3)
        theirs = ReduceLROnPlateau(optimizer, mode="max", factor=0.5, patience=patience)
        ours = Plateau(1e-3, 0.5, patience)
        for score in scores_of(seed):
            theirs.step(score)
            ours.step(score)
            assert ours.lr == optimizer.param_groups[0]["lr"]
        falls.append(round(math.log2(1e-3 / ours.lr)))
    assert max(falls) > 5


def test_cosine_restarts_are_pytorch_s():
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1e-3)
    theirs = CosineAnnealingWarmRestarts(optimizer, T_0=7)
    ours = Schedule(train(schedule="cosine_restarts", restart=7))
    for _ in range(25):
        assert ours.lr == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)
        ours.keeps(0.0)
        optimizer.step()
        theirs.step()


def test_the_schedule_lowers_the_rate_on_a_plateau_of_the_score_and_tells_the_best_epoch():
    ours = Schedule(train(lr=1.0, lr_factor=0.5, lr_patience=1, keep="best"))
    kept = [ours.keeps(score) for score in (-0.1, 0.2, 0.2, 0.1, 0.3, 0.1, math.nan, 0.0)]
    assert kept == [True, True, False, False, True, False, False, False]
    assert (ours.best_epoch, ours.lr) == (5, 0.25)
    last = Schedule(train(keep="last"))
    assert [last.keeps(score) for score in (0.3, 0.1)] == [True, True]
    assert last.best_epoch == 2


def test_losses_are_summed_over_answers_and_the_double_softmax_has_a_floor():
    rng = torch_rng(1)
    log_p = torch.randn(9, 4, generator=rng, dtype=DOUBLE).log_softmax(1)
    response = torch.randint(4, (9,), generator=rng)
    nll = torch.nn.functional.nll_loss(log_p, response, reduction="sum")
    assert gap(row_losses(log_p, response, "ce").sum(), nll) <= 1e-14
    twice = torch.nn.functional.cross_entropy(log_p.exp(), response, reduction="sum")
    assert gap(row_losses(log_p, response, "double_softmax").sum(), twice) <= 1e-14
    certain = torch.tensor([[0, -math.inf, -math.inf, -math.inf]])
    floor = row_losses(certain, torch.tensor([0]), "double_softmax").sum().item()
    assert floor == pytest.approx(math.log(1 + 3 / math.e), rel=1e-6)  # 0.744
    assert row_losses(certain, torch.tensor([0]), "ce").sum().item() == 0


def test_the_model_sees_padding_and_ids_as_the_options_say():
    data = batch((3, 1), lowest=1)
    assert shown(data, train()) is data
    wide = shown(data, train("padded"))
    assert wide.question.view(2, 3)[1, 1:].tolist() == [0, 0]
    assert wide.answered.tolist() == [0, 1, 2, 3]
    assert torch.equal(shown(data, train("zero_id")).question, data.question - 1)


@pytest.mark.parametrize("way", WAYS)
def test_padding_is_not_scored_unless_the_options_say_so(way):
    net, data, forward = network(), batch((5, 1, 3), lowest=1), evaluation(*way)
    expected = scored(net, forward, data, train())
    masked = scored(net, forward, data, train("padded"))
    assert max(map(gap, [masked[0], *masked[2]], [expected[0], *expected[2]])) <= 1e-12
    assert torch.equal(masked[1], expected[1])
    log_p, response, _ = scored(net, forward, data, train("unmasked"))
    assert len(log_p) == len(response) == 15
    answered = torch.tensor([0, 1, 2, 3, 4, 5, 10, 11, 12])
    assert gap(log_p[answered], expected[0]) <= 1e-12
    assert response.view(3, 5)[1, 1:].tolist() == [0] * 4


@pytest.mark.parametrize("way", WAYS)
def test_the_first_question_by_the_id_of_padding_has_no_value_and_a_frozen_key(way):
    net, options = network(), train("zero_id")
    data = Batch(torch.ones(3, dtype=torch.int64), torch.tensor([0, 3, 1]), torch.tensor([3]))
    log_p, response, _ = scored(net, evaluation(*way), data, options)
    others = Batch(data.question, torch.tensor([2, 0, 1]), data.lengths)
    assert torch.equal(scored(net, evaluation(*way), others, options)[0], log_p)
    assert not torch.equal(scored(net, evaluation(*way), others, train())[0], log_p)
    row_losses(log_p, response, "ce").sum().backward()
    assert net.question_key.grad is None or not net.question_key.grad.any()


def test_questions_keep_their_own_levels_by_whichever_id_they_are_shown():
    data = batch((11, 11, 11), RAGGED, lowest=1)
    levels = torch.tensor(RAGGED)[data.question - 1]
    for name in ("fused", "zero_id", "padded"):
        log_p, _, _ = scored(network(RAGGED), evaluation("tables", "fused"), data, train(name))
        assert torch.equal(log_p.isfinite().sum(1), levels)


@pytest.mark.parametrize("name", ["fused", "padded", "unmasked"])
def test_predictions_come_in_the_order_of_the_sequences(name):
    net, part, forward = network(), fold().parts["test"], evaluation("tables", "fused")
    by_six = predict(net, forward, Resident(part), train(name))
    at_once = predict(net, forward, Resident(part), train(name, batch=100))
    if name != "unmasked":
        assert by_six[1].tolist() == part.response.tolist()
        assert max(map(gap, [by_six[0], *by_six[2]], [at_once[0], *at_once[2]])) <= 1e-12
    else:
        padded = [part.lengths[:6].max() * 6, part.lengths[6:].max() * 4]
        assert len(by_six[0]) == sum(padded) > len(part.response)
        assert len(at_once[0]) == part.lengths.max() * 10
    assert not any(x.requires_grad for x in (by_six[0], *by_six[2]))
