"""The looped transformer block of the original project, reduced to what is left of it.

At sequence length 1 there is a single key, so attention does not read the state: it is a constant
input u(x), and its queries, keys and LayerNorm are dead. Exact to 1e-6 for linear attention. Also
its parameters and floating-point operations (docs/studies/tep_bp.md, The original's block).
"""

import math
from typing import NamedTuple

import torch
from torch.nn.functional import gelu, layer_norm

from scripts.lib.torch_rng import torch_rng
from scripts.tep_bp.models.stacked.parameters import ABSENT, padded
from scripts.tep_bp.plans.space import Trial

WIDENING = 4  # of the feed-forward layer


class Block(NamedTuple):
    """Parameters of T trials, [T, rows, columns], for states as row vectors (biases: one row).

    e embeds, v and o are the attention's values and output, 1 and 2 the feed-forward layers, h the
    head; scale and shift belong to the LayerNorm before layer 1 (z) and that of the output (f).
    """

    W_e: torch.Tensor
    b_e: torch.Tensor
    W_v: torch.Tensor
    b_v: torch.Tensor
    W_o: torch.Tensor
    b_o: torch.Tensor
    scale_z: torch.Tensor
    shift_z: torch.Tensor
    W_1: torch.Tensor
    b_1: torch.Tensor
    W_2: torch.Tensor
    b_2: torch.Tensor
    scale_f: torch.Tensor
    shift_f: torch.Tensor
    W_h: torch.Tensor
    b_h: torch.Tensor


class Loop(NamedTuple):
    """What an iteration reads: the first LayerNorm's scale and shift are in W_1 and b_1."""

    W_1: torch.Tensor
    b_1: torch.Tensor
    W_2: torch.Tensor
    b_2: torch.Tensor
    scale: torch.Tensor
    shift: torch.Tensor


def initial_block(trial: Trial, inputs: int, classes: int) -> Block:
    """Initial parameters of one trial, [rows, columns], float64.

    Embedding and head are Xavier-uniform with zero biases, the rest PyTorch's defaults. Classes are
    padded, lest rounding depend on the place in the stack. Random: each tensor by the
    stream (trial.seed, "legacy", its name).
    """
    d, wide = trial.hidden, WIDENING * trial.hidden
    padding = padded(classes) - classes

    def uniform(name: str, rows: int, columns: int, reach: float) -> torch.Tensor:
        rng = torch_rng(trial.seed, "legacy", name)
        return (torch.rand(rows, columns, generator=rng, dtype=torch.float64) * 2 - 1) * reach

    def linear(name: str, rows: int, columns: int) -> dict[str, torch.Tensor]:
        weight, bias = f"W_{name}", f"b_{name}"
        reach = 1 / math.sqrt(rows)
        return {
            weight: uniform(weight, rows, columns, reach),
            bias: uniform(bias, 1, columns, reach),
        }

    def xavier(name: str, rows: int, columns: int) -> torch.Tensor:
        return uniform(name, rows, columns, math.sqrt(6 / (rows + columns)))

    ones, zeros = torch.ones(1, d).double(), torch.zeros(1, d).double()
    head = torch.cat([xavier("W_h", d, classes), torch.zeros(d, padding).double()], 1)
    absent = torch.tensor([[0.0] * classes + [ABSENT] * padding]).double()
    return Block(
        W_e=xavier("W_e", inputs, d),
        b_e=zeros,
        **linear("v", d, d),
        **linear("o", d, d),
        scale_z=ones,
        shift_z=zeros,
        **linear("1", d, wide),
        **linear("2", wide, d),
        scale_f=ones,
        shift_f=zeros,
        W_h=head,
        b_h=absent,
    )


def flattened(block: Block) -> torch.Tensor:
    """The parameters of one trial as one vector."""
    return torch.cat([tensor.flatten() for tensor in block])


def viewed(flat: torch.Tensor, like: Block) -> Block:
    """Flat parameters [T, P] in the shapes of `like`: leaves of autograd on the same memory."""
    parts = flat.detach().split([tensor.numel() for tensor in like], 1)
    shaped = (part.unflatten(1, tensor.shape) for part, tensor in zip(parts, like, strict=True))
    return Block(*(tensor.requires_grad_() for tensor in shaped))


def drive(block: Block, x: torch.Tensor) -> torch.Tensor:
    """u(x) [T, B, d] of samples x [T, B, D]: constant during a solve."""
    embedded = torch.baddbmm(block.b_e, x, block.W_e)
    value = torch.baddbmm(block.b_v, embedded, block.W_v)
    return torch.baddbmm(block.b_o, value, block.W_o)


def loop(block: Block) -> Loop:
    """What the iterations read of a block; a gradient goes through it."""
    scale = block.scale_z.transpose(1, 2)
    shift = (block.shift_z.transpose(1, 2) * block.W_1).sum(1, keepdim=True)
    b_1 = block.b_1 + shift
    return Loop(block.W_1 * scale, b_1, block.W_2, block.b_2, block.scale_f, block.shift_f)


def equation(at: Loop, u: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    """f(h; x) = LN(z + W_2 GELU(W_1 LN(z) + b_1) + b_2) with z = h + u(x), all [T, B, d]."""
    z = h + u
    wide = gelu(torch.baddbmm(at.b_1, _normalised(z), at.W_1))
    return torch.addcmul(at.shift, _normalised(torch.baddbmm(z + at.b_2, wide, at.W_2)), at.scale)


def logits(block: Block, h: torch.Tensor) -> torch.Tensor:
    """[T, B, classes and padding] of states [T, B, d]."""
    return torch.baddbmm(block.b_h, h, block.W_h)


def _normalised(z: torch.Tensor) -> torch.Tensor:
    return layer_norm(z, z.shape[-1:])


class Sizes(NamedTuple):
    inputs: int
    hidden: int
    classes: int


def n_parameters(sizes: Sizes) -> int:
    """Those that act: without queries, keys and the attention's LayerNorm."""
    inputs, d, classes = sizes
    embedding, head = inputs * d + d, d * classes + classes
    return embedding + 2 * (d**2 + d) + (8 * d**2 + 5 * d) + 4 * d + head


def step_flops(sizes: Sizes, free: torch.Tensor, nudged: torch.Tensor) -> torch.Tensor:
    """Products per sample of a step, by iterations [T] of its solves.

    The nudged phase reads the head and its transpose; the update goes through one f forwards and,
    at twice the price, backwards.
    """
    iteration, driving, reading = _products(sizes)
    update = 3 * (driving + iteration + reading)
    return (iteration * (free + nudged) + 2 * reading * nudged + update).double()


def score_flops(sizes: Sizes, free: torch.Tensor) -> torch.Tensor:
    """Products per held sample of a scoring, by iterations [T] of its solve."""
    iteration, driving, reading = _products(sizes)
    return (driving + iteration * free + reading).double()


def _products(sizes: Sizes) -> tuple[int, int, int]:
    inputs, d, classes = sizes
    return 16 * d**2, 2 * inputs * d + 4 * d**2, 2 * d * classes
