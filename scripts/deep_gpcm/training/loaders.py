"""The ways to deliver an epoch's batches, by name; all deliver the same batches."""

from collections.abc import Iterator

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from scripts.deep_gpcm.fold import Sequences
from scripts.deep_gpcm.memory.padding import packed
from scripts.deep_gpcm.model.batch import Batch, Resident


def order(lengths: torch.Tensor, train: dict, rng: torch.Generator) -> list[torch.Tensor]:
    """Sequence numbers of an epoch's batches: one `randperm`, cut into parts of `batch`.

    With `buckets` the shuffled sequences are sorted by length within stretches of 8 batches and
    the batches shuffled again: less padding, other batches.
    """
    size, shuffled = train["batch"], torch.randperm(len(lengths), generator=rng)
    if not train["buckets"]:
        return list(shuffled.split(size))
    stretches = [part[lengths[part].argsort(stable=True)] for part in shuffled.split(8 * size)]
    found = [batch for stretch in stretches for batch in stretch.split(size)]
    return [found[i] for i in torch.randperm(len(found), generator=rng)]


class ResidentLoader:
    """All sequences in memory; a batch is a selection of their rows."""

    def __init__(self, part: Sequences, train: dict, rng: torch.Generator):
        self.data, self.train, self.rng = Resident(part), train, rng

    def __iter__(self) -> Iterator[Batch]:
        for chosen in order(self.data.lengths, self.train, self.rng):
            yield self.data.batch(chosen)


class Lists(Dataset):
    """Questions and responses of each sequence as Python lists, as the source keeps them."""

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


class Batches(Sampler):
    """The batches of `order`, drawn when an epoch's first batch is asked for.

    Not before: with workers, DataLoader makes an iterator that it never uses.
    """

    def __init__(self, lengths: torch.Tensor, train: dict, rng: torch.Generator):
        self.lengths, self.train, self.rng = lengths, train, rng

    def __iter__(self) -> Iterator[list[int]]:
        for chosen in order(self.lengths, self.train, self.rng):
            yield chosen.tolist()


def pad(rows: list[tuple[list[int], list[int]]]) -> tuple[torch.Tensor, ...]:
    """Questions and responses (B, T), padded with zeros in Python, and lengths (B,)."""
    lengths = [len(question) for question, _ in rows]
    longest = max(lengths)
    columns = [
        [side + [0] * (longest - len(side)) for side in sides] for sides in zip(*rows, strict=True)
    ]
    return *(torch.tensor(column) for column in columns), torch.tensor(lengths)


class ListLoader:
    """The source's: lists padded in Python by a DataLoader with so many processes."""

    def __init__(self, part: Sequences, train: dict, rng: torch.Generator):
        workers = train["workers"]
        self.loader = DataLoader(
            Lists(part),
            batch_sampler=Batches(torch.from_numpy(part.lengths), train, rng),
            collate_fn=pad,
            num_workers=workers,
            persistent_workers=workers > 0,
        )

    def __iter__(self) -> Iterator[Batch]:
        for question, response, lengths in self.loader:
            yield Batch(packed(question, lengths), packed(response, lengths), lengths)


LOADERS = {"lists": ListLoader, "resident": ResidentLoader}
