"""The parameters of Deep-GPCM: a key-value memory, heads for ability and item (shared spec 2)."""

import math

import torch
from torch import nn

EMBEDDINGS = ("ordered", "unordered", "linear_decay", "adjacent_weighted")


def response_weights(strategy: str, categories: int) -> torch.Tensor:
    """How much response r (rows) adds of each block of the question's value weights (columns).

    float64, (K, K); for `ordered`, which has two blocks, (K, 2) (shared spec 2.3).
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
    weights and embeddings Kaiming-normal with fan-in their last dimension, biases 0 (shared spec
    2.1); row 0 of the question keys is padding and never trained. `levels` (Q,) has each
    question's number of categories.
    """

    def __init__(self, options: dict, levels: torch.Tensor, rng: torch.Generator):
        super().__init__()
        self.options, self.questions = options, len(levels)
        self.categories = k = int(levels.max())
        sizes = ("memory_size", "key_dim", "value_dim", "summary_dim")
        n, key, d, h = (options[size] for size in sizes)
        weights = response_weights(options["embedding"], k)
        self.register_buffer("response_weights", weights.float(), persistent=False)
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
