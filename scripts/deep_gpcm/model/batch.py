"""Answers of some sequences as tensors, with or without the padding that batches have elsewhere."""

from dataclasses import dataclass

import torch

from scripts.deep_gpcm.fold import Sequences
from scripts.deep_gpcm.memory.padding import places


@dataclass
class Batch:
    """Rows are answers, one sequence after the other: question and response (S,), lengths (B,).

    All int64. `answered` are the rows that are answers where others are padding (question 0,
    response 0), None where all are.
    """

    question: torch.Tensor
    response: torch.Tensor
    lengths: torch.Tensor
    answered: torch.Tensor | None = None

    def padded(self) -> "Batch":
        """The same sequences, all as long as the longest, padded behind."""
        longest, rows = int(self.lengths.max()), places(self.lengths)
        empty = torch.zeros(2, len(self.lengths) * longest, dtype=torch.int64)
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
