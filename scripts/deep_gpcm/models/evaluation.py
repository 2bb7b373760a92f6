"""The ways to evaluate the model, by name: what its implementation arms are."""

from collections.abc import Callable
from functools import partial

import torch

from scripts.deep_gpcm.models import lookup, network, reference
from scripts.deep_gpcm.models.batches import Batch
from scripts.deep_gpcm.models.memory import controls, function, fused, loop
from scripts.deep_gpcm.models.network import Heads, Network


def hoisted(net: Network, batch: Batch, memory_read: Callable) -> Heads:
    """Heads of every row; all but the memory at once, each answer by itself."""
    key = network.key(net, batch.question)
    value = network.one_hot_value(net, batch.question, batch.response)
    gates = network.gates(net, value)
    weight = network.attention(net, key)
    read = memory_read(weight, *gates, net.value_memory, batch.lengths)
    return network.heads(net, read, key)


MODELS = {"stepwise": reference.forward, "hoisted": hoisted, "tables": lookup.forward}
MEMORIES = {
    "loop": loop.memory_read,
    "function": function.memory_read,
    "fused": fused.memory_read,
    "no_erase": controls.no_erase,
    "first_memory": controls.first_memory,
}
HEADS = {
    "eager": lambda: lookup.heads,
    "compiled": lambda: torch.compile(lookup.heads, dynamic=True),
    "int8": lambda: partial(lookup.heads, product=lookup.int8_linear),
}


def evaluation(model: str, memory: str, heads: str = "eager") -> Callable:
    """`forward(network, batch) -> Heads` of these names; only the model `tables` has `heads`."""
    forward = partial(MODELS[model], memory_read=MEMORIES[memory])
    return partial(forward, heads=HEADS[heads]()) if model == "tables" else forward
