"""The built-in data source: synthetic adapters with Stable Diffusion 1.5's names and shapes."""

from dataclasses import dataclass

import numpy as np

from scripts.lib.seeds import numpy_rng
from scripts.lora_ablation.data.layout import UP, VISUAL, Layout, sd15_layout
from scripts.lora_ablation.data.store import Shard, constant_scales
from scripts.lora_ablation.specs import Generated, Signal

CLASSES = (
    *("airplane", "bird", "car", "cat", "dog"),
    *("fish", "fruit", "ship", "snake", "vegetable"),
)
LEAVES = 20  # ImageNet leaf concepts in a class
STEP = 0.02  # how far Adam moves a coordinate: learning rate 1e-4, 200 steps
UP_SIZE = 0.01  # size of the entries of up after training
SPREAD = 0.2  # log-sd over adapters of the size of one up tensor


def label(i: int) -> str:
    """Class of adapter i: adding adapters keeps the classes balanced."""
    return CLASSES[i % len(CLASSES)]


def names(source: Generated) -> list[str]:
    """Names of the tensors."""
    return list(sd15_layout(source.rank).names)


def read(source: Generated, seed: int, start: int, stop: int) -> Shard:
    """Adapters start..stop-1 of `source`; no number depends on how many there are or on shards.

    down = N(0, 1)/r + U(-0.02, 0.02) * pattern; up = s * 0.01 * size * (direction + N(0, 1)) with
    s = +-1 a pair. A class has a pattern, a direction N(0, signal) and a log-size N(0, signal) of
    each up tensor (`signal`: attn1, attn2); a leaf adds N(0, signal * leaf) to the log-sizes, an
    adapter N(0, SPREAD). Sizes are those that the authors' training leads to
    (docs/studies/lora_ablation.md, Generated adapters).
    """
    layout = sd15_layout(source.rank)
    matrix = np.empty((stop - start, layout.width), np.float32)
    labels, groups = [label(i) for i in range(start, stop)], []
    classes = {name: _pattern(seed, layout, source.signal, name) for name in dict.fromkeys(labels)}
    for i, (name, row) in enumerate(zip(labels, matrix, strict=True), start):
        rng = numpy_rng(seed, "lora_ablation", "adapter", i)
        leaf = int(rng.integers(LEAVES))
        groups.append(f"{name}-{leaf:02d}")
        _draw(rng, layout, classes[name], leaf, row)
    return Shard(
        matrix=matrix,
        layout=layout,
        rows=range(start, stop),
        names=[f"generated-{i}" for i in range(start, stop)],
        labels=labels,
        groups=groups,
        scales=constant_scales(layout, stop - start, None),
    )


@dataclass(frozen=True)
class _Pattern:
    """What the adapters of a class share; `direction` and `moves` are float32 (width,)."""

    log_sizes: np.ndarray  # float64 [leaves, tensors]
    direction: np.ndarray  # 0 in down
    moves: np.ndarray  # range of what training adds to down; 0 in up


def _pattern(seed: int, layout: Layout, signal: Signal, name: str) -> _Pattern:
    rng = numpy_rng(seed, "lora_ablation", "pattern", name)
    ups = [tensor.endswith(UP) for tensor in layout.names]
    strength = np.array([signal.attn1 if VISUAL in t else signal.attn2 for t in layout.names]) * ups
    sizes = np.diff(layout.offsets)
    leaves = signal.leaf * rng.standard_normal((LEAVES, len(sizes)))
    log_sizes = strength * (rng.standard_normal(len(sizes)) + leaves)
    direction = rng.standard_normal(layout.width, np.float32)
    direction *= np.repeat(strength.astype(np.float32), sizes)
    moves = rng.uniform(-2 * STEP, 2 * STEP, layout.width).astype(np.float32)
    return _Pattern(log_sizes, direction, moves * np.repeat(np.logical_not(ups), sizes))


def _draw(rng: np.random.Generator, layout: Layout, shared: _Pattern, leaf: int, row) -> None:
    """Fill `row`, float32 (width,), with one adapter."""
    # A down tensor is followed by the up tensor of its pair.
    sizes, pairs = np.diff(layout.offsets), len(layout.names) // 2
    signs = 1 - 2 * rng.integers(2, size=pairs)
    log_size = shared.log_sizes[leaf] + SPREAD * rng.standard_normal(2 * pairs)
    gain = np.full(2 * pairs, 1 / min(layout.shapes[0]), np.float32)
    gain[1::2] = UP_SIZE * signs * np.exp(log_size[1::2])
    rng.standard_normal(out=row, dtype=np.float32)
    row += shared.direction
    row *= np.repeat(gain, sizes)
    moved = rng.random(len(row), np.float32)
    moved -= np.float32(0.5)
    moved *= shared.moves
    row += moved
