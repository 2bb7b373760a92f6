"""The network has the original's parameters, its tables and heads are those of the equations."""

import numpy as np
import pytest
import torch
from torch.nn.functional import linear

from scripts.deep_gpcm.models import lookup, reference
from scripts.deep_gpcm.models.choices import evaluation
from scripts.deep_gpcm.models.lookup import int8_linear
from scripts.deep_gpcm.models.network import (
    Heads,
    Network,
    log_probability,
    response_weights,
    threshold,
)
from scripts.lib.torch_rng import torch_rng
from tests.gpcm_networks import (
    DOUBLE,
    EMBEDDINGS,
    RAGGED,
    SINGLE,
    batch,
    configuration,
    gap,
    network,
)


def count(questions: int, k: int, n: int, key: int, d: int, h: int, blocks: int) -> int:
    """Parameters by the formula of docs/studies/deep_gpcm.md, Sizes."""
    memory = n * key + n * d + (questions + 1) * key
    gates = (blocks * questions * d + d) + (key**2 + key) + 2 * (d**2 + d)
    heads = ((d + key) * h + h) + (h + 1) + (key * (k - 1) + (k - 1)) + (h + key + 1)
    return memory + gates + heads


@pytest.mark.parametrize(("questions", "expected"), [(400, 448_555), (200, 278_555)])
def test_the_network_has_as_many_parameters_as_the_original_s(questions, expected):
    net = Network(configuration().model, torch.full((questions,), 4), torch_rng(1))
    assert sum(p.numel() for p in net.parameters()) == expected
    assert count(questions, 4, 50, 50, 200, 50, 4) == expected


@pytest.mark.parametrize("embedding", EMBEDDINGS)
def test_the_number_of_parameters_follows_the_sizes(embedding):
    net = network((3, 5, 5, 2), embedding=embedding)
    blocks = 2 if embedding == "ordered" else 5
    assert sum(p.numel() for p in net.parameters()) == count(4, 5, 5, 6, 8, 4, blocks)


def test_initial_weights_are_kaiming_normal_and_biases_zero():
    net = Network(configuration().model, torch.full((400,), 4), torch_rng(1))
    for name, parameter in net.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any()
            continue
        expected, n = (2 / parameter.shape[-1]) ** 0.5, parameter.numel()
        assert float(parameter.detach().std()) == pytest.approx(expected, rel=4 / n**0.5), name
        assert abs(float(parameter.detach().mean())) <= 4 * expected / n**0.5
    keys = (net.question_key, net.key_memory, net.value_memory)
    assert [float(x.detach().std()) for x in keys] == pytest.approx([0.2, 0.2, 0.1], rel=0.05)


def test_initial_weights_come_from_their_own_stream_only():
    torch.manual_seed(0)
    first = network(seed=1)
    torch.rand(5)
    again, other = network(seed=1), network(seed=2)
    assert all(map(torch.equal, first.parameters(), again.parameters()))
    assert not any(map(torch.equal, first.parameters(), other.parameters()))


def test_weights_of_a_response_are_those_of_the_specification():
    assert response_weights("linear_decay", 4)[0].tolist() == pytest.approx([1, 2 / 3, 1 / 3, 0])
    assert response_weights("adjacent_weighted", 4)[2].tolist() == [0, 0.5, 1, 0.5]
    assert response_weights("unordered", 3).tolist() == np.eye(3).tolist()
    assert response_weights("ordered", 3).tolist() == [[0, 0], [1, 0.5], [1, 1]]


@pytest.mark.parametrize("strategy", EMBEDDINGS)
def test_a_question_s_values_are_columns_of_the_value_weights(strategy):
    net = network(embedding=strategy)
    table = lookup.values(net).view(8, 4, -1)
    for q in range(1, 8):
        for r in range(4):
            columns = net.value_weight[:, q - 1 :: 7]
            expected = columns @ net.response_weights[r] + net.value_bias
            assert gap(table[q, r], expected) <= 1e-14
    assert torch.equal(table[0], net.value_bias.expand(4, -1))


def test_thresholds_of_the_original_s_head_are_bounded_and_the_other_s_increase():
    keys = 30 * torch.randn(500, 6, dtype=DOUBLE, generator=torch_rng(1))
    bounded = threshold(network(), keys).detach()
    assert float(bounded.abs().max()) <= 1
    assert not bool((bounded.diff(dim=1) >= 0).all())
    increasing = threshold(network(head="monotone"), keys).detach()
    assert bool((increasing.diff(dim=1) >= 0).all())
    assert float(increasing.abs().max()) > 10


def test_probabilities_sum_to_one_and_a_category_that_is_not_there_has_none():
    net, data = network(RAGGED), batch(levels=RAGGED)
    p = log_probability(net, reference.forward(net, data), data.question).exp()
    levels = torch.tensor([4, *RAGGED])[data.question]
    assert torch.allclose(p.sum(1), torch.ones(33, dtype=DOUBLE), atol=1e-14)
    assert torch.equal((p > 0).sum(1), levels)
    assert bool((p[torch.arange(33), levels - 1] > 0).all())


def test_log_probabilities_are_finite_where_probabilities_round_to_zero():
    far = Heads(torch.tensor([100.0, -100.0]), torch.tensor([50.0, 50.0]), torch.zeros(2, 3))
    log_p = log_probability(network(), far, torch.tensor([1, 1]))
    assert log_p[0].tolist() == [-15_000, -10_000, -5_000, 0]
    assert log_p[1].tolist() == [0, -5_000, -10_000, -15_000]


def test_the_reference_reads_no_memory_but_its_own():
    net, data = network(), batch()
    heads = evaluation("stepwise", "first_memory")(net, data)
    assert all(map(torch.equal, heads, evaluation("stepwise", "loop")(net, data)))


def test_an_integer_product_is_exact_for_values_on_its_grid():
    rng = np.random.default_rng(0)
    x, weight = (torch.from_numpy(rng.integers(-126, 127, (n, 16))).float() for n in (30, 7))
    x[3, 2], weight[:, 5], weight[2] = 127, -127, 0
    row = torch.tensor([0.5, 1, 2, 0.25, 1, 4, 1])
    found = int8_linear(0.125 * x, row.unsqueeze(1) * weight)
    assert torch.equal(found, linear(0.125 * x, row.unsqueeze(1) * weight))
    assert not int8_linear(0 * x, weight).any()


def test_an_integer_product_errs_by_less_than_a_rounding_of_each_factor():
    rng = torch_rng(1)
    x, weight = torch.randn(40, 64, generator=rng), torch.randn(9, 64, generator=rng)
    row, scale = weight.abs().amax(1) / 127, float(x.abs().max()) / 127
    slack = 0.5 * scale * weight.abs().sum(1) + 0.5 * row * (x.abs() + scale / 2).sum(1, True)
    error = (int8_linear(x, weight) - linear(x, weight)).abs()
    assert bool((error <= 1.001 * slack).all())
    assert float(error.max()) > 1e-3


def test_heads_in_eight_bits_are_close_to_those_in_full_precision():
    net, data = network(dtype=SINGLE), batch((30, 17))
    exact = evaluation("tables", "fused")(net, data)
    coarse = evaluation("tables", "fused", "int8")(net, data)
    assert 1e-6 < gap(coarse.theta, exact.theta) < 0.03
    assert 1e-6 < gap(coarse.alpha, exact.alpha) < 0.03
    assert torch.equal(coarse.beta, exact.beta)
