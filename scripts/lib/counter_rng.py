"""Counter-based random numbers: a draw is a function of its address, and of nothing else.

Philox4x32 with ten rounds (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011)
maps a key of 64 bits and a counter of 128 bits to four words of 32 bits. Here the key is that of a
unit's stream (scripts/lib/seeds.py), and the counter is

    (block of the index, low word; the same, high word; step; purpose)

where the index counts the words, numbers or entries of one draw, four words a block. The map is
injective, so two addresses of a unit share no word; units share none unless their keys are equal,
by a chance of 2^-64. Neither stack, block, order, cores nor device choose other draws.

The rounds are written once, as operators on int64 arrays that hold words of 32 bits: of NumPy, or
of PyTorch on any device. Words, uniforms and permutations have the same bits everywhere; normals
are drawn in float32 and equal up to the rounding of log, sin and cos (a few 1e-7).
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch

Array = Any  # of NumPy or PyTorch
WORD = 0xFFFFFFFF
# Multipliers of the rounds and steps of the key, of the paper.
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10
# Blocks computed at once on a CPU: a few arrays of as many int64 stay in the L2 cache.
BLOCKS = 1 << 14


def philox(counter: Sequence[Array], keys: Sequence[Sequence[Array]]) -> list[Array]:
    """Four words of each counter (four words) under the keys of the rounds (two words each).

    All are int64 arrays of values below 2^32, of shapes that broadcast; what the shapes have in
    common is computed once. A product of two words wraps around to the same 64 bits: its high word
    is what a shift leaves after the mask, its low word is masked where it is used.
    """
    a, b, c, d = counter
    for first, second in keys:
        of_a, of_c = a * MULTIPLIERS[0], c * MULTIPLIERS[1]
        a, c = (of_c >> 32) ^ b ^ first, (of_a >> 32) ^ d ^ second
        a &= WORD
        c &= WORD
        b, d = of_c, of_a
    return [a, b & WORD, c, d & WORD]


def round_keys(first: Array, second: Array) -> list[tuple[Array, Array]]:
    """The keys of all rounds, from the two words of a key."""
    return [((first + i * WEYL[0]) & WORD, (second + i * WEYL[1]) & WORD) for i in range(ROUNDS)]


class CounterRng:
    """The draws of a stack of units, by their keys, 64 bits each; a row of every answer is a unit.

    In NumPy, or in PyTorch on `device`. `step` is a whole number below 2^32, or an int64 array
    (1, 1) of the same library; `purpose` is one below 2^32 that tells the draws of a step apart.
    ValueError for a key, step or purpose that is not in its range.
    """

    def __init__(self, keys: Sequence[int], device: "torch.device | str | None" = None):
        for key in keys:
            check("key", key, 64)
        self.device, self.library = "cpu", np
        if device is not None:
            import torch

            self.device, self.library = torch.device(device), torch
        high, low = ([[key >> shift & WORD] for key in keys] for shift in (32, 0))
        self.keys = round_keys(self._words(low), self._words(high))
        self.on_cpu = str(self.device) == "cpu"

    def __len__(self) -> int:
        """Number of units."""
        return len(self.keys[0][0])

    def kept(self, rows: Array) -> "CounterRng":
        """The draws of some of the units, by their row numbers."""
        fewer = object.__new__(CounterRng)
        vars(fewer).update(vars(self))
        fewer.keys = [(first[rows], second[rows]) for first, second in self.keys]
        return fewer

    def bits(self, step: Any, purpose: int, count: int) -> Array:
        """Words of 32 random bits, int64 (units, count)."""
        return self._filled(step, purpose, count, "int64", lambda words: words)

    def uniforms(self, step: Any, purpose: int, count: int) -> Array:
        """U(0, 1) without its ends, float32 (units, count): odd multiples of 2^-24, one a word."""
        return self._filled(step, purpose, count, "float32", self._uniform)

    def normals(self, step: Any, purpose: int, count: int) -> Array:
        """N(0, 1), float32 (units, count), by Box and Muller; none is beyond 5.77."""
        return self._filled(step, purpose, count, "float32", self._normal)

    def permutations(self, step: Any, purpose: int, count: int) -> Array:
        """Orders of `count` things, int64 (units, count): those of as many numbers of 64 bits."""
        words = self.bits(step, purpose, 2 * count)
        numbers = (words[:, 0::2] << 32) | words[:, 1::2]
        return self.library.argsort(numbers, stable=True)

    def _words(self, values: Any) -> Array:
        return self.library.asarray(values, dtype=self.library.int64, device=self.device)

    def _filled(
        self, step: Any, purpose: int, count: int, kind: str, made_of: Callable[[list], list]
    ) -> Array:
        """(units, count) of what is made of the words; number i is of word i % 4 of block i // 4.

        On a CPU in parts that stay in the cache.
        """
        library, dtype = self.library, getattr(self.library, kind)
        out = library.empty((len(self), count), dtype=dtype, device=self.device)
        for start, blocks in self._parts(-(-count // 4)):
            words = philox(self._counter(start, blocks, step, purpose), self.keys)
            for lane, values in enumerate(made_of(words)):
                place = out[:, 4 * start + lane : 4 * (start + blocks) : 4]
                place[:] = values[:, : place.shape[1]]
        return out

    def _parts(self, blocks: int) -> Iterator[tuple[int, int]]:
        """(first block, how many) of each part."""
        most = max(1, BLOCKS // max(1, len(self))) if self.on_cpu else max(1, blocks)
        for start in range(0, blocks, most):
            yield start, min(most, blocks - start)

    def _counter(self, start: int, blocks: int, step: Any, purpose: int) -> list[Array]:
        """The counters of some blocks: a word is (1, blocks), or (1, 1) where all have the same."""
        library = self.library
        check("purpose", purpose, 32)
        if isinstance(step, int):
            check("step", step, 32)
            step = self._same(step)
        index = library.arange(start, start + blocks, dtype=library.int64, device=self.device)
        return [index[None] & WORD, index[None] >> 32, step, self._same(purpose)]

    def _same(self, value: int) -> Array:
        """A word of all counters; filled on the device, so that a CUDA graph can hold it."""
        return self.library.full((1, 1), value, dtype=self.library.int64, device=self.device)

    def _uniform(self, words: list[Array]) -> list[Array]:
        as_float = self.library.asarray
        return [as_float((w >> 8) | 1, dtype=self.library.float32) * 2.0**-24 for w in words]

    def _normal(self, words: list[Array]) -> list[Array]:
        library, made = self.library, []
        u = self._uniform(words)
        for first, second in (u[:2], u[2:]):
            radius, angle = library.sqrt(-2 * library.log(first)), second * (2 * math.pi)
            made += [radius * library.cos(angle), radius * library.sin(angle)]
        return made


def check(name: str, value: int, bits: int) -> None:
    """Raise ValueError unless a whole number has so many bits and no sign."""
    if not 0 <= value < 1 << bits:
        raise ValueError(f"{name} is {value}; it must be a whole number from 0, below 2^{bits}.")
