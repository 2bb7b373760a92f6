"""The gradient of a step, Adam, and the cap of the recurrent weights."""

from typing import NamedTuple

import numpy as np

from scripts.lib.compiled import entry, inner
from scripts.tep_bp.models.fused.arithmetic import LANES, ONE, ZERO, add_product
from scripts.tep_bp.models.fused.network import CENTRE, ERROR, FREE, MOVED, parameters

HALF = np.float32(0.5)


class Rates(NamedTuple):
    """What Adam and the cap do in one step."""

    lr: float  # lr / (1 - beta1^t)
    new: float  # 1 - beta1
    old_square: float  # beta2
    new_square: float  # 1 - beta2
    fall: float  # 1 / sqrt(1 - beta2^t)
    eps: np.float32
    kept: float  # 1 - lr weight_decay, of the matrices
    scale: float  # of MOVED to the gradient by the drive
    share: float  # 1 / n
    cap: float  # of the spectral norm of W
    power_steps: int


@inner
def transposed(tiles):
    """Tiles (T, R, LANES) as squares (R / LANES, T, LANES, LANES), a row per sample, else 0."""
    count, rows, _ = tiles.shape
    squares = np.zeros(((rows + LANES - 1) // LANES, count, LANES, LANES), np.float32)
    for t in range(count):
        for i in range(rows):
            row, square = tiles[t, i], squares[i // LANES, t]
            for s in range(LANES):
                square[s, i % LANES] = row[s]
    return squares


@inner
def over_samples(a, squares, factor, out):
    """out (R, P) = factor times the sum over samples of a (T, R, LANES) by `squares` of P rows."""
    tile = np.empty(a.shape[1:], np.float32)
    for block in range(len(squares)):
        tile[:] = ZERO
        for t in range(len(a)):
            add_product(a[t], squares[block, t], tile)
        left = block * LANES
        for i in range(len(out)):
            row, line = out[i, left : left + LANES], tile[i]
            for j in range(len(row)):
                row[j] = factor * line[j]


@inner
def sums(tiles, factor, out):
    """out[i] = factor times the sum of tiles (T, R, LANES) over samples."""
    for i in range(len(out)):
        total = ZERO
        for t in range(len(tiles)):
            row = tiles[t, i]
            for s in range(len(row)):
                total += row[s]
        out[i] = factor * total


@inner
def descend(flat, g, m, v, decayed, rates):
    """One step of Adam; the first `decayed` parameters shrink by weight decay."""
    lr, eps, kept = np.float32(rates.lr), np.float32(rates.eps), np.float32(rates.kept)
    new, old_square = np.float32(rates.new), np.float32(rates.old_square)
    new_square, fall = np.float32(rates.new_square), np.float32(rates.fall)
    for i in range(len(flat)):
        m[i] += new * (g[i] - m[i])
        v[i] = old_square * v[i] + new_square * (g[i] * g[i])
        step = lr * (m[i] / (np.sqrt(v[i]) * fall + eps))
        flat[i] = (flat[i] * kept if i < decayed else flat[i]) - step


@inner
def contract(w, u, cap, steps):
    """Cap the spectral norm of w as seen by `steps` power iterations from u (d,), which persists.

    W needs no symmetrising: where it starts, its gradient and so its moments are exactly symmetric.
    """
    v, norm = np.empty_like(u), ONE
    for _ in range(steps):
        square = ZERO
        for i in range(len(w)):
            row, total = w[i], ZERO
            for j in range(len(row)):
                total += row[j] * u[j]
            v[i] = total
            square += total * total
        norm = np.sqrt(square)
        u[:] = v / norm
    shrunk = cap / norm
    if not shrunk >= ONE:  # also where it is not a number
        w *= shrunk


@entry
def improve(flat, gradient, m, v, u, shape, samples, rates):
    """One update by the gradient of the mean cross-entropy, which is left in `gradient`."""
    net, g = parameters(flat, shape), parameters(gradient, shape)
    moved, error = samples.states[MOVED], samples.classes[ERROR]
    scale, share = np.float32(rates.scale), np.float32(rates.share)
    over_samples(moved, samples.squares, scale, g.W_x)
    sums(moved, scale, g.b)
    over_samples(error, transposed(samples.states[FREE]), share, g.W_o)
    sums(error, share, g.b_o)
    if shape.recurrent:
        over_samples(samples.states[CENTRE], transposed(moved), scale, g.W)
        for i in range(len(g.W)):  # exactly symmetric
            for j in range(i + 1):
                g.W[i, j] = g.W[j, i] = HALF * (g.W[i, j] + g.W[j, i])
    descend(flat, gradient, m, v, net.W_x.size + net.W.size + net.W_o.size, rates)
    if shape.recurrent:
        contract(net.W, u, np.float32(rates.cap), rates.power_steps)
