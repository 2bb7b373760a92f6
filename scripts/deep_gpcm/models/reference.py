"""Deep-GPCM as the original runs it: step by step, from Python lists, by PyTorch's optimizer."""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from scripts.deep_gpcm.data.fold import Sequences
from scripts.deep_gpcm.models import network
from scripts.deep_gpcm.models.batches import Batch, order, packed, padded, places
from scripts.deep_gpcm.models.network import Heads, Network
from scripts.deep_gpcm.options import Training
from scripts.lib.torch_rng import EpochBatches


def forward(net: Network, batch: Batch) -> Heads:
    """Heads of every row of the batch, everything anew at each step of the padded batch."""
    at = places(batch.lengths).to(batch.question.device)
    question, response = (padded(x, batch.lengths, at) for x in (batch.question, batch.response))
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
    return Heads(*(packed(x, at) for x in stacked))


class Lists(Dataset):
    """Questions and responses of each sequence as Python lists, as the original keeps them."""

    def __init__(self, part: Sequences):
        cuts = np.cumsum(part.lengths)[:-1]
        self.rows = [
            (q.tolist(), r.tolist())
            for q, r in zip(
                np.split(part.question, cuts), np.split(part.response, cuts), strict=True
            )
        ]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> tuple[list[int], list[int]]:
        return self.rows[number]


def pad(rows: list[tuple[list[int], list[int]]]) -> tuple[torch.Tensor, ...]:
    """Questions and responses (B, T), padded with zeros in Python, and lengths (B,)."""
    lengths = [len(question) for question, _ in rows]
    longest = max(lengths)
    columns = [
        [side + [0] * (longest - len(side)) for side in sides] for sides in zip(*rows, strict=True)
    ]
    return *(torch.tensor(column) for column in columns), torch.tensor(lengths)


class ListLoader:
    """The original's: lists padded in Python by a DataLoader with so many processes."""

    def __init__(self, part: Sequences, train: Training, rng: torch.Generator):
        workers = train.workers
        self.loader = DataLoader(
            Lists(part),
            batch_sampler=EpochBatches(partial(order, torch.from_numpy(part.lengths), train, rng)),
            collate_fn=pad,
            num_workers=workers,
            persistent_workers=workers > 0,
        )

    def __iter__(self) -> Iterator[Batch]:
        for question, response, lengths in self.loader:
            at = places(lengths)
            yield Batch(packed(question, at), packed(response, at), lengths)


def module_step(parameters: list[torch.Tensor], train: Training) -> Callable[[float], None]:
    """`step(lr)` by `torch.optim.Adam` or `AdamW`."""
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[train.optimizer]
    optimizer = kind(
        parameters,
        lr=train.lr,
        betas=tuple(train.betas),
        eps=train.adam_eps,
        weight_decay=train.weight_decay,
    )

    def step(lr: float) -> None:
        for group in optimizer.param_groups:
            group["lr"] = lr
        optimizer.step()

    return step
