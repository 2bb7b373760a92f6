"""The closed loop of one tile of samples, iterated towards its fixed points (spec 1.9, 4.2).

A tile is (rows, LANES): a row per unit or class, a column per sample. Samples do not meet before
the gradient, so a tile goes through all iterations while it is in the cache.

The image rho(drive + W h + V e) is one product: `joined` is [W V], (d, d + C), and a state is h
above e. `ball` is (omega, 1 - omega + mu, mu) of the heavy ball; (1, 0, 0) is the plain iteration.
"""

import numpy as np

from scripts.tep_bp.training.fused.compiled import inner
from scripts.tep_bp.training.fused.elementwise import ONE, ZERO, activate, softmax
from scripts.tep_bp.training.fused.products import LANES, eight_rows, onto_tile

MASK = 2  # in place of an activation: the image is multiplied by a mask


@inner()
def turn(start, weights, lines, activation, mask, ball, h, previous):
    """One step h' = h + omega (image - h) + mu (h - previous), written over `previous`.

    The image is rho(start + weights @ lines), or mask * (start + weights @ lines).
    """
    omega, kept, mu = ball
    plain = omega == ONE and mu == ZERO
    image = np.empty((8, LANES), np.float32)
    for row in range(0, len(h), 8):
        old, new = h[row : row + 8], previous[row : row + 8]
        eight_rows(start[row : row + 8], weights[row : row + 8], lines, image)
        if activation == MASK:
            for i in range(8):
                for s in range(LANES):
                    image[i, s] *= mask[row + i, s]
        elif not plain:
            activate(image, activation, image)
        if plain and activation != MASK:
            activate(image, activation, new)
        elif plain:
            new[:] = image
        else:
            for i in range(8):
                for s in range(LANES):
                    new[i, s] = omega * image[i, s] + kept * old[i, s] - mu * new[i, s]


@inner()
def first_step(image, ball, start, h):
    """h = start + omega (image - start): from rest, there is no momentum."""
    omega = ball[0]
    for i in range(len(image)):
        for s in range(LANES):
            h[i, s] = (ONE - omega) * start[i, s] + omega * image[i, s]


@inner()
def free(driven, joined, activation, steps, ball, h):
    """Write the state (d, LANES) after `steps` iterations from 0 to h."""
    d = len(driven)
    weights, image = joined[:, :d], np.empty_like(driven)
    state, previous = np.zeros((2, d, LANES), np.float32)
    activate(driven, activation, image)  # at 0 the image needs no product
    first_step(image, ball, previous, state)
    for _ in range(steps - 1):
        turn(driven, weights, state, activation, driven, ball, state, previous)
        state, previous = previous, state
    h[:] = state


@inner()
def errors(h, head, head_bias, classes, first, n, sign, out):
    """out (C, LANES) = sign (softmax(head h + head_bias) - onehot) of samples first, first + 1...

    head is (C, d), head_bias (C, LANES). Columns beyond the n-th sample are 0.
    """
    onto_tile(head_bias, head, h, out)
    softmax(out)
    for s in range(min(LANES, n - first)):
        out[classes[first + s], s] -= ONE
    if sign != ONE:
        for c in range(len(out)):
            for s in range(LANES):
                out[c, s] *= sign
    for s in range(n - first, LANES):
        out[:, s] = ZERO


@inner()
def nudged(driven, h, error, joined, head, head_bias, classes, first, n, sign, solver, out):
    """Write the state (d, LANES) nudged by sign (+-1), from the free state h, to out.

    `error` (C, LANES) is that of h; `still`, the image of h without a nudge, is shared by both signs.
    """
    activation, steps, ball, still = solver
    d, rows = joined.shape
    state, previous = np.empty((2, rows, LANES), np.float32)
    for c in range(rows - d):
        for s in range(LANES):
            state[d + c, s] = sign * error[c, s]
    # A plain step first: then `previous` is the start, and from rest there is no momentum.
    previous[:d] = h
    turn(still, joined[:, d:], state[d:], activation, still, ball, h, previous[:d])
    state, previous = previous, state
    previous[:d] = h
    for _ in range(steps - 1):
        errors(state[:d], head, head_bias, classes, first, n, sign, state[d:])
        turn(driven, joined, state, activation, still, ball, state[:d], previous[:d])
        state, previous = previous, state
    out[:] = state[:d]


@inner()
def adjoint(pushed, joined, mask, steps, ball, out):
    """Write lambda = (pushed + W lambda) * mask after `steps` iterations from 0 to out (d, LANES)."""
    d = len(pushed)
    weights, image = joined[:, :d], pushed * mask
    state, previous = np.zeros((2, d, LANES), np.float32)
    first_step(image, ball, previous, state)
    for _ in range(steps - 1):
        turn(pushed, weights, state, MASK, mask, ball, state, previous)
        state, previous = previous, state
    out[:] = state
