"""PyTorch generators on random streams addressed by label, and orders drawn from them."""

from collections.abc import Callable, Iterator

import torch
from torch.utils.data import Sampler

from scripts.lib.seeds import seed63, stream


def torch_rng(*labels: str | int) -> torch.Generator:
    """CPU generator on the stream of these labels (root seed first)."""
    return torch.Generator().manual_seed(seed63(stream(*labels)))


class EpochPermutation(Sampler):
    """Row numbers in the order of one `randperm` an epoch."""

    def __init__(self, n: int, rng: torch.Generator):
        self.n, self.rng = n, rng

    def __iter__(self) -> Iterator[int]:
        return iter(torch.randperm(self.n, generator=self.rng).tolist())

    def __len__(self) -> int:
        return self.n


class EpochBatches(Sampler):
    """Batches of row numbers, int64 (B,), that `draw` gives anew for every epoch.

    Drawn at an epoch's first batch: with workers, DataLoader makes an iterator that it never uses.
    """

    def __init__(self, draw: Callable[[], list[torch.Tensor]]):
        self.draw = draw

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self.draw():
            yield batch.tolist()
