"""The gradient of a step, Adam, and the cap of the recurrent weights, in few passes."""

import numpy as np

from scripts.lib.compiled import entry, inner
from scripts.tep_bp.models.fused.lanes import LANES
from scripts.tep_bp.models.fused.products import onto_tiles
from scripts.tep_bp.models.fused.steps import views

ZERO, ONE, HALF = np.float32(0), np.float32(1), np.float32(0.5)
SIDE = 16  # of a square that stays in the cache


@inner
def transposed(tiles, columns):
    """Lines (T, LANES, columns) of tiles (T, rows, LANES); columns beyond the rows are 0."""
    lines = np.zeros((len(tiles), LANES, columns), np.float32)
    for tile in range(len(tiles)):
        for i in range(tiles.shape[1]):
            for s in range(LANES):
                lines[tile, s, i] = tiles[tile, i, s]
    return lines


@inner
def symmetrise(w, scale):
    """w = scale / 2 (w + w'), exactly symmetric, in squares that stay in the cache."""
    half = HALF * scale
    for top in range(0, len(w), SIDE):
        bottom = min(top + SIDE, len(w))
        for left in range(0, top + 1, SIDE):
            for i in range(top, bottom):
                for j in range(left, min(left + SIDE, i + 1)):
                    mean = half * (w[i, j] + w[j, i])
                    w[i, j] = mean
                    w[j, i] = mean


@inner
def row_sums(tiles, scale, out):
    """out[i] = scale * sum of tiles (T, rows, LANES) over samples."""
    for i in range(tiles.shape[1]):
        total = ZERO
        for tile in range(len(tiles)):
            for s in range(LANES):
                total += tiles[tile, i, s]
        out[i] = scale * total


@inner
def gradient(shape, lines, h, error, moved, centre, scale, n, found):
    """Write the gradient of the mean cross-entropy of n samples to `found`.

    `scale` times what is `moved` is its gradient by the drive; lines are the samples.
    """
    w_x, w, w_o, b, b_o = views(found, shape)
    scale = np.float32(scale)
    onto_tiles(moved, lines, w_x)
    for i in range(len(w_x)):
        for j in range(w_x.shape[1]):
            w_x[i, j] *= scale
    row_sums(moved, scale, b)
    if len(w):
        onto_tiles(centre, transposed(moved, len(w)), w)
        symmetrise(w, scale)
    own = ONE / np.float32(n)
    onto_tiles(h, transposed(error, w_o.shape[1]), w_o)
    for i in range(len(w_o)):
        for j in range(w_o.shape[1]):
            w_o[i, j] *= own
    row_sums(error, own, b_o)


@inner
def descend(flat, g, m, v, decayed, decay, rates):
    """One step of Adam; the first `decayed` parameters shrink by the share `decay`.

    `rates` is lr / (1 - beta1^t), 1 - beta1, beta2, 1 - beta2, 1 / sqrt(1 - beta2^t), eps.
    """
    lr, new, old_square = np.float32(rates[0]), np.float32(rates[1]), np.float32(rates[2])
    new_square, fall, eps = np.float32(rates[3]), np.float32(rates[4]), np.float32(rates[5])
    kept = ONE - np.float32(decay)
    for i in range(len(flat)):
        m[i] += new * (g[i] - m[i])
        v[i] = old_square * v[i] + new_square * (g[i] * g[i])
        step = lr * (m[i] / (np.sqrt(v[i]) * fall + eps))
        flat[i] = (flat[i] * kept if i < decayed else flat[i]) - step


@inner
def contract(flat, shape, u, cap, steps):
    """Cap the spectral norm of W as seen by `steps` power iterations from u (d,), which persists.

    W needs no symmetrising: where it starts, its gradient and so its moments are exactly symmetric.
    """
    w = views(flat, shape)[1]
    v, norm = np.empty_like(u), ONE
    for _ in range(steps):
        square = ZERO
        for i in range(len(w)):
            total = ZERO
            for j in range(len(w)):
                total += w[i, j] * u[j]
            v[i] = total
            square += total * total
        norm = np.sqrt(square)
        for i in range(len(w)):
            u[i] = v[i] / norm
    shrunk = cap / norm
    if not shrunk >= ONE:  # also where it is not a number
        for i in range(len(w)):
            for j in range(len(w)):
                w[i, j] *= shrunk


@entry
def improve(
    flat, shape, lines, h, error, moved, centre, scale, n, found, m, v, rates, decay, u, cap, steps
):  # fmt: skip
    """One update of the parameters: gradient, Adam, and the cap where the network is recurrent."""
    gradient(shape, lines, h, error, moved, centre, scale, n, found)
    inputs, d, columns, _, recurrent = shape
    units = d if recurrent else 0
    descend(flat, found, m, v, d * (inputs + columns + units), decay, rates)
    if recurrent:
        contract(flat, shape, u, np.float32(cap), steps)
