"""The ways to evaluate the model, by name: what its implementation arms are."""

from collections.abc import Callable
from functools import partial

import torch

from scripts.deep_gpcm.memory import controls, function, fused, loop
from scripts.deep_gpcm.model import hoisted, stepwise, tables
from scripts.deep_gpcm.model.int8 import int8_linear

MODELS = {"stepwise": stepwise.forward, "hoisted": hoisted.forward, "tables": tables.forward}
MEMORIES = {
    "loop": loop.memory_read,
    "function": function.memory_read,
    "fused": fused.memory_read,
    "no_erase": controls.no_erase,
    "first_memory": controls.first_memory,
}
HEADS = {
    "eager": lambda: tables.heads,
    "compiled": lambda: torch.compile(tables.heads, dynamic=True),
    "int8": lambda: partial(tables.heads, product=int8_linear),
}


def evaluation(model: str, memory: str, heads: str = "eager") -> Callable:
    """`forward(network, batch) -> Heads` of these names; only the model `tables` has `heads`."""
    forward = partial(MODELS[model], memory_read=MEMORIES[memory])
    return partial(forward, heads=HEADS[heads]()) if model == "tables" else forward
