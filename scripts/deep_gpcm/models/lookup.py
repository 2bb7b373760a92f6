"""Deep-GPCM by lookup: what depends on question and response only is computed once for each.

Attention, thresholds and the key's part of the heads have a row per question, erase and add vectors
a row per question and response; a batch picks its rows (docs/studies/deep_gpcm.md, Lookup).
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch.nn.functional import linear, softplus

from scripts.deep_gpcm.models import network
from scripts.deep_gpcm.models.batches import Batch
from scripts.deep_gpcm.models.network import Heads, Network


def values(net: Network) -> torch.Tensor:
    """Value of every question and response, ((Q + 1) K, D); row q K + r. Padding has the bias."""
    d, width = net.value_bias.shape[0], net.response_weights.shape[1]
    blocks = net.value_weight.view(d, width, net.questions)
    real = torch.einsum("rk,dkq->qrd", net.response_weights, blocks).reshape(-1, d)
    return torch.cat([real.new_zeros(net.categories, d), real]) + net.value_bias


class Tables(NamedTuple):
    """What depends on question and response only.

    `keys` (Q + 1, d_k) and `weight` (Q + 1, N), the attention, have a row per question, `erase` and
    `add` ((Q + 1) K, D) a row per question and response.
    """

    keys: torch.Tensor
    weight: torch.Tensor
    erase: torch.Tensor
    add: torch.Tensor


def tables(net: Network) -> Tables:
    """All tables of a network."""
    # The key of padding, row 0, is not trained, whichever way it enters a table.
    keys = torch.cat([net.question_key[:1].detach(), net.question_key[1:]])
    return Tables(keys, network.attention(net, keys), *network.gates(net, values(net)))


def heads(
    net: Network,
    read: torch.Tensor,
    keys: torch.Tensor,
    question: torch.Tensor,
    product: Callable = linear,
) -> Heads:
    """`network.heads` with the products of the keys taken from tables by question.

    `product(x, weight)` is the one with what was read, the only large one.
    """
    d, h = read.shape[1], net.summary_bias.shape[0]
    from_read, from_key = net.summary_weight.split([d, keys.shape[1]], 1)
    of_summary, of_key = net.slope_weight.split([h, keys.shape[1]], 1)
    table = torch.cat(
        [
            linear(keys, from_key, net.summary_bias),
            linear(keys, of_key, net.slope_bias),
            network.threshold(net, keys),
        ],
        1,
    )
    summary_part, slope_part, beta = table.index_select(0, question).split(
        [h, 1, net.categories - 1], 1
    )
    summary = torch.tanh(product(read, from_read) + summary_part)
    both = linear(summary, torch.cat([net.ability_weight, of_summary]))
    theta = net.options.ability_scale * (both[:, 0] + net.ability_bias)
    return Heads(theta, softplus(both[:, 1] + slope_part.squeeze(1)), beta)


def forward(net: Network, batch: Batch, memory_read: Callable, heads: Callable = heads) -> Heads:
    """Heads of every row of the batch; `heads` may be another implementation of them."""
    found = tables(net)
    rows = picked(found, net.categories, batch.question, batch.response)
    read = memory_read(*rows, net.value_memory, batch.lengths)
    return heads(net, read, found.keys, batch.question)


def picked(
    found: Tables, categories: int, question: torch.Tensor, response: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What the memory takes of each answer: attention (S, N), erase and add vectors (S, D)."""
    pair = question * categories + response
    weight = found.weight.index_select(0, question)
    return weight, found.erase.index_select(0, pair), found.add.index_select(0, pair)


def int8_linear(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """x (S, I) times weight (O, I) transposed, in int8 with int32 sums; float32 (S, O).

    Symmetric: weights are scaled by row, x by its largest entry. Departs: PyTorch's dynamic
    quantisation is deprecated; this is its arithmetic.
    """
    row, scale = (largest(part, dim) / 127 for part, dim in ((weight, 1), (x, None)))
    small = (weight / row.unsqueeze(1)).round().to(torch.int8)
    sums = torch._int_mm((x / scale).round().to(torch.int8), small.T.contiguous())
    return sums.float() * (scale * row)


def largest(x: torch.Tensor, dim: int | None) -> torch.Tensor:
    """Largest absolute value, along a dimension or of all; 1 where all are zero."""
    found = x.abs().amax() if dim is None else x.abs().amax(dim)
    return torch.where(found > 0, found, 1)
