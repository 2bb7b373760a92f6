"""The parts of one training step, each one call: batch, free phase, nudged phase, update.

Tiles are (T, rows, LANES) for T tiles of samples, lines (T, LANES, columns) have a row per sample.
`flat` holds the parameters of a trial as `views` says; its gradient and moments have its layout.
"""

import numpy as np

from scripts.tep_bp.training.fused.compiled import entry, inner
from scripts.tep_bp.training.fused.elementwise import ONE, ZERO, activate, slope
from scripts.tep_bp.training.fused.loop import adjoint, errors, free, nudged
from scripts.tep_bp.training.fused.products import LANES, onto_tile

PIXEL = np.float32(255)
PERCEPTRON, ADJOINT, NUDGES = 0, 1, 2  # how the errors come back: bp, rbp, tep


@inner()
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
    lines[:] = ZERO
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


@inner()
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
    for tile in range(len(tiles)):
        onto_tile(bias, w_x, tiles[tile], driven[tile])
        if len(w):
            free(driven[tile], w, activation, steps, ball, h[tile])
        else:
            activate(driven[tile], activation, h[tile])


@entry
def read(flat, shape, h, out):
    """Logits (C, LANES) of the states h (T, d, LANES), to out (T, C, LANES)."""
    _, _, w_o, _, b_o = views(flat, shape)
    classes = out.shape[1]
    for tile in range(len(h)):
        onto_tile(spread(b_o[:classes]), w_o.T[:classes], h[tile], out[tile])


@inner()
def joined_weights(w, w_o, classes, strength):
    """[W, strength W_o] (d, d + C), where W (0, d) is left out."""
    d = len(w_o)
    units = d if len(w) else 0
    joined = np.empty((d, units + classes), np.float32)
    for i in range(d):
        for j in range(units):
            joined[i, j] = w[i, j]
        for c in range(classes):
            joined[i, units + c] = strength * w_o[i, c]
    return joined


@entry
def teach(flat, shape, kind, driven, h, y, beta, activation, steps, ball, error, moved, centre):
    """What the errors at the free states h (T, d, LANES) of n samples with classes y (n,) move.

    Fill error (T, C, LANES), p - onehot; moved (T, d, LANES), h+ - h- of `tep` or the adjoint; and
    centre, (h+ + h-) / 2 or h.
    """
    _, w, w_o, _, b_o = views(flat, shape)
    d, classes = shape[1], shape[3]
    joined = joined_weights(w, w_o, classes, -beta if kind == NUDGES else ONE)
    head, head_bias = np.ascontiguousarray(w_o.T[:classes]), spread(b_o[:classes])
    back = joined[:, joined.shape[1] - classes :]
    still, mask, nothing = np.empty((3, d, LANES), np.float32)
    nothing[:] = ZERO
    n = len(y)
    for tile in range(len(h)):
        own, first = h[tile], tile * LANES
        errors(own, head, head_bias, y, first, n, ONE, error[tile])
        if kind != PERCEPTRON:
            onto_tile(driven[tile], w, own, still)
        if kind == NUDGES:
            solver = (activation, steps, ball, still)
            towards, away = moved[tile], centre[tile]
            for sign, out in ((ONE, towards), (-ONE, away)):
                nudged(
                    driven[tile], own, error[tile], joined, head, head_bias, y, first, n, sign,
                    solver, out,
                )  # fmt: skip
            for i in range(d):
                for s in range(LANES):
                    plus, minus = towards[i, s], away[i, s]
                    towards[i, s], away[i, s] = plus - minus, (plus + minus) / np.float32(2)
        elif kind == ADJOINT:
            activate(still, activation, still)
            slope(still, activation, mask)
            onto_tile(nothing, back, error[tile], still)
            adjoint(still, joined, mask, steps, ball, moved[tile])
            centre[tile] = own
        else:
            slope(own, activation, mask)
            onto_tile(nothing, back, error[tile], still)
            for i in range(d):
                for s in range(LANES):
                    moved[tile, i, s] = still[i, s] * mask[i, s]
