"""Deep-GPCM as the original evaluates it: everything anew at each step of the padded batch."""

import torch

from scripts.deep_gpcm.models import network
from scripts.deep_gpcm.models.batches import Batch, packed, padded
from scripts.deep_gpcm.models.network import Heads, Network


def forward(net: Network, batch: Batch, memory_read=None) -> Heads:
    """Heads of every row of the batch; the memory read is the original's and no other."""
    question, response = (padded(x, batch.lengths) for x in (batch.question, batch.response))
    memory = net.value_memory.expand(len(question), *net.value_memory.shape)
    steps = []
    for q, r in zip(question.T, response.T, strict=True):
        key = network.key(net, q)
        weight = network.attention(net, key)
        value = network.one_hot_value(net, q, r)
        read = torch.bmm(weight.unsqueeze(1), memory).squeeze(1)
        steps.append(network.heads(net, read, key))
        erase, add = network.gates(net, value)
        erased = torch.bmm(weight.unsqueeze(2), erase.unsqueeze(1))
        added = torch.bmm(weight.unsqueeze(2), add.unsqueeze(1))
        memory = memory * (1 - erased) + added
    stacked = (torch.stack(parts, 1) for parts in zip(*steps, strict=True))
    return Heads(*(packed(x, batch.lengths) for x in stacked))
