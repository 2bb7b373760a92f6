"""Deep-GPCM with all but the memory computed for all answers at once, each answer by itself."""

from collections.abc import Callable

from scripts.deep_gpcm.model import equations
from scripts.deep_gpcm.model.batch import Batch
from scripts.deep_gpcm.model.equations import Heads
from scripts.deep_gpcm.model.network import Network


def forward(net: Network, batch: Batch, memory_read: Callable) -> Heads:
    """Heads of every row of the batch."""
    key = equations.key(net, batch.question)
    value = equations.one_hot_value(net, batch.question, batch.response)
    gates = equations.gates(net, value)
    weight = equations.attention(net, key)
    read = memory_read(weight, *gates, net.value_memory, batch.lengths)
    return equations.heads(net, read, key)
