"""Answers of some sequences as tensors, ragged or padded, and the batches of an epoch."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from scripts.deep_gpcm.data.fold import Sequences
from scripts.deep_gpcm.options import Training


def places(lengths: torch.Tensor) -> torch.Tensor:
    """Where each row stands in the flattened padded batch (B * T), T the longest; int64 (S,).

    On the device of `lengths`.
    """
    longest, device = int(lengths.max()), lengths.device
    starts = lengths.cumsum(0) - lengths
    shift = torch.arange(len(lengths), device=device) * longest - starts
    return torch.arange(int(lengths.sum()), device=device) + shift.repeat_interleave(lengths)


def padded(rows: torch.Tensor, lengths: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
    """Rows (S, F) of sequences one after the other as (B, T, F), zeros behind each sequence.

    `at` are the `places` of these lengths, on the device of the rows: a GPU waits for each copy.
    """
    size = (len(lengths), int(lengths.max()), *rows.shape[1:])
    flat = rows.new_zeros(size[0] * size[1], *rows.shape[1:])
    return flat.index_copy(0, at, rows).view(size)


def packed(batch: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
    """The rows (S, F) of a padded batch (B, T, F), at their `places`."""
    return batch.flatten(0, 1).index_select(0, at)


@dataclass
class Batch:
    """Rows are answers, one sequence after the other: question and response (S,), lengths (B,).

    All int64. `answered` are the rows that are answers where others are padding (question 0,
    response 0), None where all are. On a GPU `lengths` stay on the CPU, which makes the shapes.
    """

    question: torch.Tensor
    response: torch.Tensor
    lengths: torch.Tensor
    answered: torch.Tensor | None = None

    def on(self, device: torch.device) -> "Batch":
        """The same answers there."""
        return replace(self, question=self.question.to(device), response=self.response.to(device))

    def padded(self) -> "Batch":
        """The same sequences, all as long as the longest, padded behind."""
        longest, rows = int(self.lengths.max()), places(self.lengths).to(self.question.device)
        empty = self.question.new_zeros(2, len(self.lengths) * longest)
        empty[:, rows] = torch.stack([self.question, self.response])
        return Batch(*empty, torch.full_like(self.lengths, longest), rows)


class Resident:
    """All sequences of a part in memory, from which batches are cut by sequence number."""

    def __init__(self, part: Sequences):
        self.question, self.response = (torch.from_numpy(x) for x in (part.question, part.response))
        self.lengths, self.starts = (torch.from_numpy(x) for x in (part.lengths, part.starts))

    def __len__(self) -> int:
        return len(self.lengths)

    def batch(self, chosen: torch.Tensor) -> Batch:
        """The sequences of these numbers, (B,) int64, in this order."""
        lengths = self.lengths[chosen]
        shift = self.starts[chosen] - (lengths.cumsum(0) - lengths)
        rows = torch.arange(int(lengths.sum())) + shift.repeat_interleave(lengths)
        return Batch(self.question[rows], self.response[rows], lengths)


def order(lengths: torch.Tensor, train: Training, rng: torch.Generator) -> list[torch.Tensor]:
    """Sequence numbers of an epoch's batches: one `randperm`, cut into parts of `batch`.

    With `buckets` the shuffled sequences are sorted by length within stretches of 8 batches and
    the batches shuffled again: less padding, other batches.
    """
    size, shuffled = train.batch, torch.randperm(len(lengths), generator=rng)
    if not train.buckets:
        return list(shuffled.split(size))
    stretches = [part[lengths[part].argsort(stable=True)] for part in shuffled.split(8 * size)]
    found = [batch for stretch in stretches for batch in stretch.split(size)]
    return [found[i] for i in torch.randperm(len(found), generator=rng)]


class ResidentLoader:
    """All sequences in memory; a batch is a selection of their rows."""

    def __init__(self, part: Sequences, train: Training, rng: torch.Generator):
        self.data, self.train, self.rng = Resident(part), train, rng

    def __iter__(self) -> Iterator[Batch]:
        for chosen in order(self.data.lengths, self.train, self.rng):
            yield self.data.batch(chosen)
