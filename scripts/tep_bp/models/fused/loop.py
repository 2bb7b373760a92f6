"""The closed loop of one tile of samples, iterated towards its fixed points.

A tile is (rows, LANES): a row per unit or class, a column per sample. Samples do not meet before
the gradient, so a tile goes through all iterations while it is in the cache.

The image rho(drive + W h + V e) is one product: `joined` is [W V], (d, d + C), and a state is h
above e. `ball` is (omega, 1 - omega + mu, mu) of the heavy ball; (1, 0, 0) is the plain iteration.
"""

from collections.abc import Callable

from scripts.lib.compiled import inner
from scripts.tep_bp.models.fused.elementwise import (
    copy_of,
    relu,
    softmax_error,
    tanh,
    zero_of,
)
from scripts.tep_bp.models.fused.lanes import Rows, lanewise
from scripts.tep_bp.models.fused.products import onto_tile, sums

RELU, TANH, MASK = 0, 1, 2  # what makes an image of a sum; MASK multiplies it by a mask


def eight_steps(formula: Callable, heavy: bool) -> Callable:
    """step(start, a, b, mask, omega, kept, mu, h, previous) of eight units, over `previous`.

    h' = h + omega (image - h) + mu (h - previous), image = formula(start + a @ b, mask).
    """

    @lanewise()
    def step(context, start: Rows, a: Rows, b: Rows, mask: Rows, omega, kept, mu, h, previous):
        for row, total in enumerate(sums(start, a, b, 8)):
            image = formula(total, mask[row])
            if heavy:
                image = image * omega + h[row] * kept - previous[row] * mu
            previous[row] = image

    return step


FORMULAS = (lambda z, _: relu(z), lambda z, _: tanh(z), lambda z, mask: z * mask)
plain_relu, plain_tanh, plain_mask = (eight_steps(formula, False) for formula in FORMULAS)
heavy_relu, heavy_tanh, heavy_mask = (eight_steps(formula, True) for formula in FORMULAS)


@inner
def turn(start, weights, lines, activation, mask, ball, h, previous):
    """One step h' = h + omega (image - h) + mu (h - previous), written over `previous`.

    The image is rho(start + weights @ lines), or mask * (start + weights @ lines).
    """
    omega, kept, mu = ball
    plain = omega == 1 and mu == 0
    for row in range(0, len(h), 8):
        end = row + 8
        first, a, factor = start[row:end], weights[row:end], mask[row:end]
        old, new = h[row:end], previous[row:end]
        if plain:
            if activation == TANH:
                plain_tanh(first, a, lines, factor, omega, kept, mu, old, new)
            elif activation == RELU:
                plain_relu(first, a, lines, factor, omega, kept, mu, old, new)
            else:
                plain_mask(first, a, lines, factor, omega, kept, mu, old, new)
        elif activation == TANH:
            heavy_tanh(first, a, lines, factor, omega, kept, mu, old, new)
        elif activation == RELU:
            heavy_relu(first, a, lines, factor, omega, kept, mu, old, new)
        else:
            heavy_mask(first, a, lines, factor, omega, kept, mu, old, new)


@inner
def free(driven, weights, activation, steps, ball, state, previous, h):
    """Write the state (d, LANES) after `steps` iterations from 0 to h.

    state and previous (d, LANES) are room.
    """
    zero_of(state, state)
    zero_of(previous, previous)
    # At 0 the image needs no product: a product over no lines.
    turn(driven, weights[:, :0], state[:0], activation, driven, ball, state, previous)
    for _ in range(steps - 1):
        state, previous = previous, state
        turn(driven, weights[:, :], state, activation, driven, ball, state, previous)
    copy_of(previous, h)


@inner
def errors(h, head, head_bias, truth, numbers, weight, out):
    """out (C, LANES) = weight (softmax(head h + head_bias) - onehot(truth))."""
    onto_tile(head_bias, head, h, out)
    softmax_error(out, truth, numbers, weight)


@inner
def nudged(
    driven, still, h, error, joined, reading, weight, activation, steps, ball, state, previous, out
):  # fmt: skip
    """Write the state (d, LANES) nudged by weight (1, LANES), +-1, from the free h to out.

    `error` (C, LANES) is that of h, times weight; `still`, the sum at h without a nudge, is shared
    by both signs. `reading` is (head, head_bias, truth, numbers); state and previous are room.
    """
    head, head_bias, truth, numbers = reading
    d = len(h)
    # From rest: the start is its own predecessor.
    copy_of(h, previous)
    turn(still, joined[:, d:], error, activation, still, ball, h, previous[:d])
    copy_of(h, state)
    for _ in range(steps - 1):
        state, previous = previous, state
        errors(state[:d], head, head_bias, truth, numbers, weight, state[d:])
        turn(driven, joined[:, :], state, activation, still, ball, state[:d], previous[:d])
    copy_of(previous[:d], out)


@inner
def adjoint(pushed, weights, mask, steps, ball, state, previous, out):
    """Write lambda = (pushed + W lambda) * mask after `steps` iterations from 0 to out.

    state and previous (d, LANES) are room.
    """
    zero_of(state, state)
    zero_of(previous, previous)
    turn(pushed, weights[:, :0], state[:0], MASK, mask, ball, state, previous)
    for _ in range(steps - 1):
        state, previous = previous, state
        turn(pushed, weights[:, :], state, MASK, mask, ball, state, previous)
    copy_of(previous, out)
