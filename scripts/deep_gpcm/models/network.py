"""Deep-GPCM: its parameters and its equations on rows; arms differ in which rows, how often.

docs/studies/deep_gpcm.md, Model.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.functional import embedding, linear, one_hot, softplus

from scripts.deep_gpcm.options import NetworkSettings


def response_weights(strategy: str, categories: int) -> torch.Tensor:
    """How much response r (rows) adds of each block of the question's value weights (columns).

    float64, (K, K); for `ordered`, which has two blocks, (K, 2).
    """
    r = torch.arange(categories, dtype=torch.float64)
    distance = (r.unsqueeze(1) - r).abs()
    if strategy == "ordered":
        return torch.stack([(r > 0).double(), r / (categories - 1)], 1)
    if strategy == "unordered":
        return (distance == 0).double()
    if strategy == "linear_decay":
        return (1 - distance / (categories - 1)).clamp(min=0)
    return (distance == 0).double() + 0.5 * (distance == 1).double()


class Network(nn.Module):
    """All parameters, and nothing of how they are evaluated: that is what the arms differ in.

    `options` (section `model` of the configuration): memory_size N, key_dim, value_dim D,
    summary_dim h, embedding, ability_scale, head. Parameters are drawn from `rng` in float32:
    weights and embeddings Kaiming-normal with fan-in their last dimension, biases 0; row 0 of the
    question keys is padding and never trained. `levels` (Q,) has each question's number of
    categories. `precision` double makes float64 of all that was drawn.
    """

    def __init__(
        self,
        options: NetworkSettings,
        levels: torch.Tensor,
        rng: torch.Generator,
        precision: str = "single",
    ):
        super().__init__()
        self.options, self.questions = options, len(levels)
        self.categories = k = int(levels.max())
        n, key, d, h = options.memory_size, options.key_dim, options.value_dim, options.summary_dim
        weights = response_weights(options.embedding, k)
        self.register_buffer("response_weights", weights, persistent=False)
        # Categories that a question does not have; row 0 is padding, which has all.
        absent = torch.arange(k) >= torch.cat([levels.max().view(1), levels]).unsqueeze(1)
        self.register_buffer("absent", absent, persistent=False)
        self.ragged_levels = bool(absent.any())

        def kaiming(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(shape, generator=rng) * math.sqrt(2 / shape[-1]))

        def zeros(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.zeros(shape))

        self.question_key = kaiming(self.questions + 1, key)
        self.key_memory, self.value_memory = kaiming(n, key), kaiming(n, d)
        self.value_weight, self.value_bias = kaiming(d, weights.shape[1] * self.questions), zeros(d)
        self.query_weight, self.query_bias = kaiming(key, key), zeros(key)
        self.erase_weight, self.erase_bias = kaiming(d, d), zeros(d)
        self.add_weight, self.add_bias = kaiming(d, d), zeros(d)
        self.summary_weight, self.summary_bias = kaiming(h, d + key), zeros(h)
        self.ability_weight, self.ability_bias = kaiming(1, h), zeros(1)
        self.threshold_weight, self.threshold_bias = kaiming(k - 1, key), zeros(k - 1)
        self.slope_weight, self.slope_bias = kaiming(1, h + key), zeros(1)
        self.to({"single": torch.float32, "double": torch.float64}[precision])

    @property
    def device(self) -> torch.device:
        """Where its parameters are, and so where it computes."""
        return self.value_bias.device


class Heads(NamedTuple):
    """What the model says of each answer: ability (S,), slope (S,), thresholds (S, K - 1)."""

    theta: torch.Tensor
    alpha: torch.Tensor
    beta: torch.Tensor


Forward = Callable[[Network, Any], Heads]  # of a batch (models/batches.py)


def key(net: Network, question: torch.Tensor) -> torch.Tensor:
    """Question keys (S, d_k); the key of padding, row 0, gets no gradient."""
    return embedding(question, net.question_key, padding_idx=0)


def attention(net: Network, key: torch.Tensor) -> torch.Tensor:
    """Weight of each memory slot, (S, N)."""
    query = torch.tanh(linear(key, net.query_weight, net.query_bias))
    return torch.softmax(query @ net.key_memory.T, 1)


def one_hot_value(net: Network, question: torch.Tensor, response: torch.Tensor) -> torch.Tensor:
    """Value (S, D) as the original has it: a product with the expanded one-hot of the answer."""
    which = one_hot(question, net.questions + 1)[:, 1:].to(net.value_weight.dtype)
    blocks = net.response_weights[response].unsqueeze(2) * which.unsqueeze(1)
    return linear(blocks.flatten(1), net.value_weight, net.value_bias)


def gates(net: Network, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Erase and add vectors, each (S, D)."""
    erase = torch.sigmoid(linear(value, net.erase_weight, net.erase_bias))
    return erase, torch.tanh(linear(value, net.add_weight, net.add_bias))


def threshold(net: Network, key: torch.Tensor) -> torch.Tensor:
    """Thresholds beta (S, K - 1): by `head`, within (-1, 1) as the original's, or increasing."""
    found = linear(key, net.threshold_weight, net.threshold_bias)
    if net.options.head == "original":
        return torch.tanh(found)
    return torch.cat([found[:, :1], softplus(found[:, 1:])], 1).cumsum(1)


def heads(net: Network, read: torch.Tensor, key: torch.Tensor) -> Heads:
    """Ability, slope and thresholds from what was read (S, D) and the question key (S, d_k)."""
    summary = torch.tanh(linear(torch.cat([read, key], 1), net.summary_weight, net.summary_bias))
    theta = net.options.ability_scale * linear(summary, net.ability_weight, net.ability_bias)
    slope = linear(torch.cat([summary, key], 1), net.slope_weight, net.slope_bias)
    return Heads(theta.squeeze(1), softplus(slope).squeeze(1), threshold(net, key))


def log_probability(net: Network, found: Heads, question: torch.Tensor) -> torch.Tensor:
    """GPCM log-probabilities (S, K); a category that the question does not have gets -inf.

    Departs: log-softmax, where the original adds 1e-8 to probabilities.
    """
    steps = found.alpha.unsqueeze(1) * (found.theta.unsqueeze(1) - found.beta)
    z = torch.cat([torch.zeros_like(steps[:, :1]), steps.cumsum(1)], 1)
    if net.ragged_levels:
        z = z.masked_fill(net.absent[question], -torch.inf)
    return torch.log_softmax(z, 1)
