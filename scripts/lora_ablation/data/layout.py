"""Which tensors adapters have: names, shapes, their place in a row of the store, selections."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from scripts.lib.faults import LoadError
from scripts.lib.seeds import numpy_rng
from scripts.lora_ablation.data.families import DOWN, TEXT_ENCODER, UP, is_half, selections, stem

UNET = "unet."
VISUAL = ".attn1."  # where the generator's two signals go
TEXT_WIDTH = 768  # CLIP text embedding, the input of attn2.to_v
# Stable Diffusion 1.5: (blocks, attentions in each, width).
SD15_BLOCKS = [
    ("down_blocks.0", 2, 320),
    ("down_blocks.1", 2, 640),
    ("down_blocks.2", 2, 1280),
    ("mid_block", 1, 1280),
    ("up_blocks.1", 3, 1280),
    ("up_blocks.2", 3, 640),
    ("up_blocks.3", 3, 320),
]


class LayoutError(LoadError):
    """Adapters do not have the tensors that are asked for."""


@dataclass(frozen=True)
class Layout:
    """Tensor names in their order in a row of the store, and the shape (p, q) of each.

    The order is that of the sorted names, tensors of a text encoder last, so that the columns of
    the UNet are a prefix of the row.
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, shapes: dict[str, tuple[int, int]]) -> "Layout":
        """The layout of these tensors, in its order."""
        names = sorted(shapes, key=lambda name: (name.startswith(TEXT_ENCODER), name))
        return cls(tuple(names), tuple(tuple(shapes[name]) for name in names))

    @classmethod
    def from_json(cls, value: dict) -> "Layout":
        return cls(tuple(value["names"]), tuple(tuple(shape) for shape in value["shapes"]))

    def to_json(self) -> dict:
        return {"names": list(self.names), "shapes": [list(shape) for shape in self.shapes]}

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """Where each tensor starts in a row, and the row's width at the end."""
        starts = [0]
        for shape in self.shapes:
            starts.append(starts[-1] + math.prod(shape))
        return tuple(starts)

    @property
    def width(self) -> int:
        """Scalars of one adapter."""
        return self.offsets[-1]

    @cached_property
    def patterns(self) -> dict[str, str]:
        """Pattern of each selection that there is, without random halves and the user's own."""
        return selections(self.names)

    @property
    def paired(self) -> bool:
        """Whether the tensors are factors of adapters; else they are weights themselves."""
        return bool(self.names) and self.names[0].endswith((DOWN, UP))

    def selected(
        self, selection: str, seed: int = 0, own: Mapping[str, str] | None = None
    ) -> list[int]:
        """Indices of a selection's tensors, ascending.

        `all`, a selection of the family (data/families.py), one of the user's `own` patterns, or
        `half<k>`: the k-th random half of the down/up pairs of `all`, drawn by the stream (seed,
        "lora_ablation", selection). Departs: the original samples tensors, unseeded, anew for
        every configuration. Raises LayoutError if the adapters have no such tensor.
        """
        patterns = self.patterns | dict(own or {})
        if half := is_half(selection):
            modules = sorted({stem(self.names[i]) for i in self.selected("all")})
            rng = numpy_rng(seed, "lora_ablation", selection)
            kept = set(rng.choice(modules, len(modules) // 2, replace=False).tolist())
            chosen = [i for i, name in enumerate(self.names) if stem(name) in kept]
        else:
            keep = re.compile(patterns[selection]).search if selection in patterns else None
            chosen = [i for i, name in enumerate(self.names) if keep and keep(stem(name))]
        if not chosen:
            remedy = "a half needs two modules" if half else f"there are {', '.join(patterns)}"
            raise LayoutError(
                f"The adapters have no tensor of the selection {selection!r}; {remedy}."
            )
        return chosen


def sd15_layout(rank: int) -> Layout:
    """The 128 UNet tensors of a rank-r adapter on to_q and to_v of Stable Diffusion 1.5.

    Shapes: down (r, in), up (out, r). The authors' names, confirmed by the md5 of their cache
    file (docs/studies/lora_ablation.md, Tensors).
    """
    shapes = {}
    for block, attentions, width in SD15_BLOCKS:
        for j in range(attentions):
            for attention, projection in [(a, p) for a in "12" for p in "qv"]:
                module = f"{UNET}{block}.attentions.{j}.transformer_blocks.0.attn{attention}"
                inputs = TEXT_WIDTH if (attention, projection) == ("2", "v") else width
                shapes[f"{module}.to_{projection}{DOWN}"] = (rank, inputs)
                shapes[f"{module}.to_{projection}{UP}"] = (width, rank)
    return Layout.of(shapes)


def stems(layout: Layout) -> list[str]:
    """The modules of a layout's pairs, in the order in which their tensors first appear."""
    return list(dict.fromkeys(stem(name) for name in layout.names)) if layout.paired else []


def plain_layout(shapes: dict[str, tuple[int, int]]) -> Layout:
    """The layout of weights of any names, which are no pairs."""
    return Layout.of(shapes)


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
