"""Some consecutive adapters of a source in memory, and what must hold of any of them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scripts.lib.faults import LoadError
from scripts.lora_ablation.layout import DOWN, UP, Layout, stem


@dataclass(frozen=True)
class Shard:
    """Adapters `rows` of a source: `matrix` float32 [rows, layout.width], C-order.

    `scales` is float32 [rows, pairs], alpha/r of each down/up pair in the order of `stems(layout)`;
    `groups` holds None where a source does not say what an adapter belongs to.
    """

    matrix: np.ndarray
    layout: Layout
    rows: range
    names: list[str]
    labels: list[str]
    groups: list[str | None]
    scales: np.ndarray

    def digests(self) -> list[str]:
        """SHA-256 of each adapter's float32 payload."""
        return [hashlib.sha256(row).hexdigest() for row in self.matrix]


def stems(layout: Layout) -> list[str]:
    """The modules of a layout, in the order in which their tensors first appear."""
    return list(dict.fromkeys(stem(name) for name in layout.names))


def paired_layout(shapes: dict[str, tuple[int, int]], who: str) -> Layout:
    """The layout of these tensors; LoadError unless they are down/up pairs of equal rank."""
    if not shapes:
        raise LoadError(f"{who}: holds no LoRA tensor; expected pairs of down and up factors.")
    for name in shapes:
        module = stem(name)
        down, up = shapes.get(module + DOWN), shapes.get(module + UP)
        if down is None or up is None:
            lost = "down" if down is None else "up"
            raise LoadError(f"{who}: layer {module} has no {lost} factor; expected down and up.")
        if down[0] != up[1]:
            raise LoadError(
                f"{who}: layer {module} has factors down {down} and up {up}; "
                "expected down (r, in) and up (out, r) of one rank r."
            )
    return Layout.of(shapes)


def check_layout(layout: Layout, expected: Layout, who: str, first: str) -> None:
    """LoadError unless `who` has the tensors of `first`, the source's first adapter."""
    if layout == expected:
        return
    shapes = dict(zip(layout.names, layout.shapes, strict=True))
    wanted = dict(zip(expected.names, expected.shapes, strict=True))
    for name, shape in wanted.items():
        if name not in shapes:
            raise LoadError(f"{who}: layer {name} is missing; expected {shape} as in {first}.")
        if shapes[name] != shape:
            raise LoadError(
                f"{who}: layer {name} has shape {shapes[name]}; expected {shape} as in {first}."
            )
    extra = next(name for name in shapes if name not in wanted)
    raise LoadError(f"{who}: has the layer {extra}; expected only the layers of {first}.")


def check_finite(matrix: np.ndarray, layout: Layout, names: Sequence[str]) -> None:
    """LoadError for the first adapter with NaN or infinite values."""
    # One sum a row is a single pass without a temporary; an overflow only costs the second look.
    with np.errstate(invalid="ignore", over="ignore"):
        suspects = np.flatnonzero(~np.isfinite(matrix.sum(axis=1)))
    for i in suspects:
        bad = np.flatnonzero(~np.isfinite(matrix[i]))
        if bad.size:
            layer = np.searchsorted(layout.offsets, bad[0], side="right") - 1
            raise LoadError(
                f"Adapter {names[i]}: layer {layout.names[layer]} holds {matrix[i, bad[0]]}; "
                "expected finite numbers."
            )


def constant_scales(layout: Layout, rows: int, alpha: float | None) -> np.ndarray:
    """Scales of adapters that all have the same alpha; None stands for alpha = rank."""
    if alpha is None:
        return np.ones((rows, len(stems(layout))), np.float32)
    shapes = dict(zip(layout.names, layout.shapes, strict=True))
    scales = [alpha / shapes[module + DOWN][0] for module in stems(layout)]
    return np.tile(np.asarray(scales, np.float32), (rows, 1))
