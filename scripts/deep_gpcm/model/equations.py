"""The equations of Deep-GPCM on rows (shared spec 2): arms differ in which rows, and how often."""

from typing import NamedTuple

import torch
from torch.nn.functional import embedding, linear, one_hot, softplus

from scripts.deep_gpcm.model.network import Network


class Heads(NamedTuple):
    """What the model says of each answer: ability (S,), slope (S,), thresholds (S, K - 1)."""

    theta: torch.Tensor
    alpha: torch.Tensor
    beta: torch.Tensor


def key(net: Network, question: torch.Tensor) -> torch.Tensor:
    """Question keys (S, d_k); the key of padding, row 0, gets no gradient."""
    return embedding(question, net.question_key, padding_idx=0)


def attention(net: Network, key: torch.Tensor) -> torch.Tensor:
    """Weight of each memory slot, (S, N)."""
    query = torch.tanh(linear(key, net.query_weight, net.query_bias))
    return torch.softmax(query @ net.key_memory.T, 1)


def one_hot_value(net: Network, question: torch.Tensor, response: torch.Tensor) -> torch.Tensor:
    """Value (S, D) as the source computes it: a product with the expanded one-hot of the answer."""
    which = one_hot(question, net.questions + 1)[:, 1:].to(net.value_weight.dtype)
    blocks = net.response_weights[response].unsqueeze(2) * which.unsqueeze(1)
    return linear(blocks.flatten(1), net.value_weight, net.value_bias)


def gates(net: Network, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Erase and add vectors, each (S, D)."""
    erase = torch.sigmoid(linear(value, net.erase_weight, net.erase_bias))
    return erase, torch.tanh(linear(value, net.add_weight, net.add_bias))


def threshold(net: Network, key: torch.Tensor) -> torch.Tensor:
    """Thresholds beta (S, K - 1): by `head`, within (-1, 1) as the source's, or increasing."""
    found = linear(key, net.threshold_weight, net.threshold_bias)
    if net.options["head"] == "source":
        return torch.tanh(found)
    return torch.cat([found[:, :1], softplus(found[:, 1:])], 1).cumsum(1)


def heads(net: Network, read: torch.Tensor, key: torch.Tensor) -> Heads:
    """Ability, slope and thresholds from what was read (S, D) and the question key (S, d_k)."""
    summary = torch.tanh(linear(torch.cat([read, key], 1), net.summary_weight, net.summary_bias))
    theta = net.options["ability_scale"] * linear(summary, net.ability_weight, net.ability_bias)
    slope = linear(torch.cat([summary, key], 1), net.slope_weight, net.slope_bias)
    return Heads(theta.squeeze(1), softplus(slope).squeeze(1), threshold(net, key))


def log_probability(net: Network, found: Heads, question: torch.Tensor) -> torch.Tensor:
    """GPCM log-probabilities (S, K); a category that the question does not have gets -inf.

    Departs: log-softmax, where the source adds 1e-8 to probabilities (shared spec 2.6).
    """
    steps = found.alpha.unsqueeze(1) * (found.theta.unsqueeze(1) - found.beta)
    z = torch.cat([torch.zeros_like(steps[:, :1]), steps.cumsum(1)], 1)
    if net.ragged_levels:
        z = z.masked_fill(net.absent[question], -torch.inf)
    return torch.log_softmax(z, 1)
