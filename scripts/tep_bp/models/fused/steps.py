"""The parts of one training step, each one call: batch, free phase, nudged phase, update.

Tiles are (T, rows, LANES) for T tiles of samples, lines (T, LANES, columns) have a row per sample.
`flat` holds the parameters of a trial as `views` says; its gradient and moments have its layout.
"""

import numpy as np

from scripts.lib.compiled import entry, inner
from scripts.tep_bp.models.fused.elementwise import (
    centred,
    copy_of,
    multiplied,
    negative_of,
    relu_of,
    slope_relu_of,
    slope_tanh_of,
    tanh_of,
    zero_of,
)
from scripts.tep_bp.models.fused.lanes import LANES
from scripts.tep_bp.models.fused.loop import TANH, adjoint, errors, free, nudged
from scripts.tep_bp.models.fused.products import onto_tile

PIXEL = np.float32(255)
PERCEPTRON, ADJOINT, NUDGES = 0, 1, 2  # how the errors come back: bp, rbp, tep


@inner
def views(flat, shape):
    """W_x (d, D'), W (d, d), W_o (d, C'), b (d,), b_o (C',) of `flat`, in this order.

    `shape` is (D', d, C', C, recurrent): D' and C' are the inputs and classes, rounded up to eights
    by zeros. Without recurrence W is (0, d).
    """
    inputs, d, columns, _, recurrent = shape
    units = d if recurrent else 0
    a = d * inputs
    b = a + units * d
    c = b + d * columns
    w_x, w = flat[:a].reshape(d, inputs), flat[a:b].reshape(units, d)
    return w_x, w, flat[b:c].reshape(d, columns), flat[c : c + d], flat[c + d :]


@entry
def gather(x, chosen, lines, tiles):
    """Samples x[chosen] (n, D) as lines (T, LANES, D') and as tiles (T, D', LANES), else 0."""
    inputs = x.shape[1]
    lines[:] = 0
    for i in range(len(chosen)):
        line, source = lines[i // LANES, i % LANES], x[chosen[i]]
        for j in range(inputs):
            line[j] = source[j]
    if x.itemsize == 1:
        lines /= PIXEL
    for tile in range(len(tiles)):
        for j in range(tiles.shape[1]):
            for s in range(LANES):
                tiles[tile, j, s] = lines[tile, s, j]


@inner
def spread(column):
    """A column (rows,) over a tile (rows, LANES)."""
    tile = np.empty((len(column), LANES), np.float32)
    for i in range(len(column)):
        for s in range(LANES):
            tile[i, s] = column[i]
    return tile


@entry
def settle(flat, shape, tiles, activation, steps, ball, driven, h):
    """Fill `driven` (T, d, LANES), the drive of the samples, and h, their free states."""
    w_x, w, _, b, _ = views(flat, shape)
    bias = spread(b)
    state, previous = np.empty_like(bias), np.empty_like(bias)
    for tile in range(len(tiles)):
        onto_tile(bias, w_x, tiles[tile], driven[tile])
        if len(w):
            free(driven[tile], w, activation, steps, ball, state, previous, h[tile])
        elif activation == TANH:
            tanh_of(driven[tile], h[tile])
        else:
            relu_of(driven[tile], h[tile])


@entry
def read(flat, shape, h, out):
    """Logits of the states h (T, d, LANES), to out (T, C, LANES)."""
    _, _, w_o, _, b_o = views(flat, shape)
    classes = out.shape[1]
    for tile in range(len(h)):
        onto_tile(spread(b_o[:classes]), w_o.T[:classes], h[tile], out[tile])


@inner
def joined_weights(w, w_o, classes, strength):
    """[W, strength W_o] (d, d + C); W may be (0, d)."""
    d, units = len(w_o), len(w)
    joined = np.empty((d, units + classes), np.float32)
    for i in range(d):
        for j in range(units):
            joined[i, j] = w[i, j]
        for c in range(classes):
            joined[i, units + c] = strength * w_o[i, c]
    return joined


@inner
def labels(y, first, sign):
    """Classes (1, LANES) of the samples from `first` on, and sign, or 0 where there is none."""
    truth, weight = np.zeros((1, LANES), np.int32), np.zeros((1, LANES), np.float32)
    for s in range(min(LANES, len(y) - first)):
        truth[0, s], weight[0, s] = y[first + s], sign
    return truth, weight


@entry
def teach(flat, shape, kind, driven, h, y, beta, activation, steps, ball, error, moved, centre):
    """What the errors at the free states h (T, d, LANES) of samples with classes y (n,) move.

    Fill error (T, C, LANES), p - onehot; moved (T, d, LANES), h+ - h- of `tep` or the adjoint; and
    centre, (h+ + h-) / 2 or h.
    """
    _, w, w_o, _, b_o = views(flat, shape)
    d, classes = shape[1], shape[3]
    joined = joined_weights(w, w_o, classes, -beta if kind == NUDGES else np.float32(1))
    head, head_bias = w_o.T[:classes], spread(b_o[:classes])
    back = joined[:, joined.shape[1] - classes :]
    numbers = np.arange(classes).astype(np.int32).reshape(classes, 1)
    still, mask = np.zeros((d, LANES), np.float32), np.empty((d, LANES), np.float32)
    state = np.empty((d + classes, LANES), np.float32)
    previous = np.empty_like(state)
    for tile in range(len(h)):
        own, wrong, towards, away = h[tile], error[tile], moved[tile], centre[tile]
        truth, weight = labels(y, tile * LANES, np.float32(1))
        errors(own, head, head_bias, truth, numbers, weight, wrong)
        if kind == NUDGES:
            reading = head, head_bias, truth, numbers
            onto_tile(driven[tile], w, own, still)
            for out in (towards, away):
                nudged(
                    driven[tile], still, own, wrong, joined, reading, weight,
                    activation, steps, ball, state, previous, out,
                )  # fmt: skip
                negative_of(wrong, wrong)  # twice: it is what it was
                negative_of(weight, weight)
            centred(towards, away)
            continue
        copy_of(own, away)
        if kind == ADJOINT:  # the slope is that of the next image
            onto_tile(driven[tile], w, own, mask)
            if activation == TANH:
                tanh_of(mask, mask)
            else:
                relu_of(mask, mask)
        else:
            copy_of(own, mask)
        if activation == TANH:
            slope_tanh_of(mask, mask)
        else:
            slope_relu_of(mask, mask)
        zero_of(still, still)
        onto_tile(still, back, wrong, still)
        if kind == ADJOINT:
            adjoint(still, w, mask, steps, ball, state[:d], previous[:d], towards)
        else:
            multiplied(still, mask, towards)
