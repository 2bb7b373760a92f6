"""Every way to evaluate the network is the model of the specification, with its gradients."""

from functools import cache

import numpy as np
import pytest
import torch

from scripts.deep_gpcm.models.batches import Batch, Resident
from scripts.deep_gpcm.models.choices import evaluation
from scripts.deep_gpcm.models.loss import row_losses
from scripts.deep_gpcm.models.network import Network, log_probability
from scripts.lib.torch_rng import torch_rng
from tests.gpcm_memories import TRITON
from tests.gpcm_networks import (
    DOUBLE,
    EMBEDDINGS,
    LEVELS,
    RAGGED,
    SINGLE,
    batch,
    fold,
    gap,
    network,
)

REFERENCE = ("stepwise", "loop")
WAYS = [
    ("hoisted", "loop"),
    ("hoisted", "fused"),
    ("tables", "loop"),
    ("tables", "function"),
    ("tables", "fused"),
    pytest.param(("tables", "triton"), marks=TRITON.marks),
]
OPTIONS = [
    *(("embedding", name) for name in EMBEDDINGS),
    ("head", "monotone"),
    ("ability_scale", 3.0),
]
SHAPES = [(11, 11, 11), (13, 1, 7), (1, 1, 1)]


def predicted(way: tuple, net: Network, data: Batch) -> list[torch.Tensor]:
    """theta, alpha, beta and log-probabilities of every row."""
    heads = evaluation(*way)(net, data)
    return [*heads, log_probability(net, heads, data.question)]


def gradients(way: tuple, net: Network, data: Batch) -> dict[str, torch.Tensor]:
    """Gradient of a weighted sum of all that is predicted, by the name of the parameter."""
    rng, loss = torch_rng(3), 0
    for part in predicted(way, net, data):
        weight = torch.randn(part.shape, generator=rng, dtype=DOUBLE).to(part.dtype)
        loss = loss + torch.where(part.isfinite(), part * weight, 0).sum()
    found = torch.autograd.grad(loss, list(net.parameters()), allow_unused=True)
    return {
        name: torch.zeros_like(p) if g is None else g
        for (name, p), g in zip(net.named_parameters(), found, strict=True)
    }


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def softplus(x: np.ndarray) -> np.ndarray:
    return np.log1p(np.exp(x))


def block(strategy: str, k: int, r: int, top: int) -> list[float]:
    """What response r puts at the question's place of each block; float32."""
    found = {
        "ordered": [float(r > 0), r / top],
        "unordered": [float(j == r) for j in range(k)],
        "linear_decay": [max(0.0, 1 - abs(j - r) / top) for j in range(k)],
        "adjacent_weighted": [{0: 1.0, 1: 0.5}.get(abs(j - r), 0.0) for j in range(k)],
    }[strategy]
    return np.float32(found).astype(float).tolist()


def by_hand(net: Network, data: Batch, levels: tuple) -> list[np.ndarray]:
    """The model written out for one student, one answer, one slot after the other."""
    p = {name: value.detach().numpy() for name, value in net.named_parameters()}
    k, questions, found, row = net.categories, net.questions, [], 0
    for length in data.lengths.tolist():
        memory = p["value_memory"].copy()
        for _ in range(length):
            q, r = int(data.question[row]), int(data.response[row])
            key = p["question_key"][q]
            query = np.tanh(p["query_weight"] @ key + p["query_bias"])
            score = np.exp([slot @ query for slot in p["key_memory"]])
            w = score / score.sum()
            read = sum(w[n] * memory[n] for n in range(len(memory)))
            s = np.tanh(p["summary_weight"] @ np.append(read, key) + p["summary_bias"])
            theta = net.options.ability_scale * (p["ability_weight"][0] @ s + p["ability_bias"][0])
            slope = softplus(p["slope_weight"][0] @ np.append(s, key) + p["slope_bias"][0])
            beta = p["threshold_weight"] @ key + p["threshold_bias"]
            if net.options.head == "original":
                beta = np.tanh(beta)
            else:
                for h in range(1, k - 1):
                    beta[h] = beta[h - 1] + softplus(beta[h])
            z = [0.0]
            for h in range(k - 1):
                z.append(z[-1] + slope * (theta - beta[h]))
            there = np.arange(k) < (levels[q - 1] if q else k)
            odds = np.where(there, np.exp(z), 0)
            with np.errstate(divide="ignore"):
                found.append((theta, slope, beta, np.log(odds / odds.sum())))
            values = block(net.options.embedding, k, r, k - 1)
            x = np.zeros(len(values) * questions)
            for j, value in enumerate(values):
                if q:
                    x[j * questions + q - 1] = value
            v = p["value_weight"] @ x + p["value_bias"]
            e = sigmoid(p["erase_weight"] @ v + p["erase_bias"])
            a = np.tanh(p["add_weight"] @ v + p["add_bias"])
            for n in range(len(memory)):
                memory[n] = memory[n] * (1 - w[n] * e) + w[n] * a
            row += 1
    return [np.array(part) for part in zip(*found, strict=True)]


@cache
def by_reference(option: tuple, lengths: tuple, levels: tuple) -> tuple:
    """Network, batch, and what the reference predicts of it, with gradients."""
    net, data = network(levels, **dict([option])), batch(lengths, levels)
    return net, data, predicted(REFERENCE, net, data), gradients(REFERENCE, net, data)


@pytest.mark.parametrize("levels", [LEVELS, RAGGED, (2,) * 7])
@pytest.mark.parametrize("option", OPTIONS)
def test_the_reference_is_the_model_computed_by_hand(option, levels):
    net, data, found, _ = by_reference(option, (11, 5, 8), levels)
    assert {0, 1, 7} <= set(data.question.tolist())
    for mine, other in zip(found, by_hand(net, data, levels), strict=True):
        assert gap(mine, torch.from_numpy(other)) <= 1e-12


@pytest.mark.parametrize("levels", [LEVELS, RAGGED])
@pytest.mark.parametrize("lengths", SHAPES)
@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("way", WAYS)
def test_every_evaluation_is_the_reference(way, option, lengths, levels):
    net, data, expected, slopes = by_reference(option, lengths, levels)
    for mine, other in zip(predicted(way, net, data), expected, strict=True):
        assert gap(mine, other) <= 1e-12
    for name, mine in gradients(way, net, data).items():
        assert gap(mine, slopes[name]) <= 1e-10, name


def test_a_student_without_answers_changes_nothing_in_the_fused_kernel():
    net, data = network(), batch((13, 1, 7))
    guest = Batch(data.question, data.response, torch.tensor([13, 1, 0, 7]))
    for mine, other in zip(
        predicted(("tables", "fused"), net, guest), predicted(REFERENCE, net, data), strict=True
    ):
        assert gap(mine, other) <= 1e-12
    expected = gradients(REFERENCE, net, data)
    for name, mine in gradients(("tables", "fused"), net, guest).items():
        assert gap(mine, expected[name]) <= 1e-10, name


@pytest.mark.parametrize("way", [REFERENCE, *WAYS])
def test_every_parameter_is_trained_but_the_key_of_padding(way):
    found = gradients(way, network(), batch())
    assert not found["question_key"][0].any()
    assert bool(found["question_key"][1:].any(1).all())
    assert all(bool(gradient.any()) for gradient in found.values())


def test_control_a_table_of_the_raw_keys_trains_the_key_of_padding(monkeypatch):
    monkeypatch.setattr(torch.Tensor, "detach", lambda x: x)
    leaking = gradients(("tables", "loop"), network(), batch())["question_key"]
    monkeypatch.undo()
    expected = gradients(REFERENCE, network(), batch())["question_key"]
    assert float(leaking[0].abs().max()) > 1e-2
    assert gap(leaking[1:], expected[1:]) <= 1e-10


@pytest.mark.parametrize("sizes", [{}, {"memory_size": 50, "key_dim": 50, "value_dim": 200}])
@pytest.mark.parametrize("way", WAYS)
def test_in_single_precision_it_is_the_reference_up_to_rounding(way, sizes):
    net, data = network(dtype=SINGLE, **sizes), batch((30, 1, 17))
    for mine, other in zip(predicted(way, net, data), predicted(REFERENCE, net, data), strict=True):
        assert gap(mine, other) <= 5e-6
    expected = gradients(REFERENCE, net, data)
    for name, mine in gradients(way, net, data).items():
        assert gap(mine, expected[name]) <= 1e-4 * float(expected[name].abs().max()), name


@pytest.mark.parametrize("way", [REFERENCE, *WAYS])
def test_an_answer_changes_no_prediction_up_to_itself_and_some_after(way):
    net, data = network(dtype=SINGLE), batch((11, 6), lowest=1)
    before = predicted(way, net, data)[3]
    for row in (0, 4, 10, 11, 15):
        response = data.response.clone()
        response[row] = (response[row] + 1) % 4
        after = predicted(way, net, Batch(data.question, response, data.lengths))[3]
        end = 11 if row < 11 else 17
        same = (before == after).all(1)
        assert bool(same[: row + 1].all())
        assert bool(same[end:].all())
        assert not bool(same[row + 1 : end].any())


@pytest.mark.parametrize("way", [REFERENCE, *WAYS])
def test_what_stands_behind_a_sequence_changes_nothing_in_it(way):
    net, data = network(dtype=SINGLE), batch((11, 1, 6), lowest=1).padded()
    rng = np.random.default_rng(1)
    behind = torch.ones(33, dtype=torch.bool)
    behind[data.answered] = False
    question, response = data.question.clone(), data.response.clone()
    question[behind] = torch.from_numpy(rng.integers(0, 8, int(behind.sum())))
    response[behind] = torch.from_numpy(rng.integers(0, 4, int(behind.sum())))
    garbage = Batch(question, response, data.lengths, data.answered)
    for mine, other in zip(predicted(way, net, garbage), predicted(way, net, data), strict=True):
        assert torch.equal(mine[data.answered], other[data.answered])


@pytest.mark.parametrize("way", [REFERENCE, *WAYS])
def test_answers_are_predicted_alike_with_and_without_padding(way):
    net, data = network(), batch((11, 1, 6), lowest=1)
    wide = data.padded()
    for mine, other in zip(predicted(way, net, wide), predicted(way, net, data), strict=True):
        assert gap(mine[wide.answered], other) <= 1e-12


@pytest.mark.parametrize("way", [REFERENCE, *WAYS])
def test_the_loss_does_not_depend_on_the_order_of_the_students(way):
    net, data = network(), Resident(fold().parts["train"])

    def loss(order: torch.Tensor) -> float:
        chosen = data.batch(order)
        return row_losses(predicted(way, net, chosen)[3], chosen.response, "ce").sum().item()

    everybody = torch.arange(len(data))
    assert loss(everybody) == pytest.approx(loss(torch.randperm(24, generator=torch_rng(1))), 1e-12)
    assert loss(everybody) != pytest.approx(loss(everybody[1:]), 1e-3)
