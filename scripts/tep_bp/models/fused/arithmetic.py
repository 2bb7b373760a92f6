"""The arithmetic of tiles, as loops that LLVM turns into vector instructions.

A tile is (rows, LANES): a row per unit, input or class, a column per sample. No branch depends on
a sample, and NaN stays NaN. The C library's tanh and exp take one number at a time, ten times as
long. Loops of little work run to len(row): LLVM unrolls a constant number, and leaves it scalar.
"""

import numpy as np

from scripts.lib.compiled import formula, inner

LANES = 32  # samples of a tile: two of the widest vectors
ZERO, ONE = np.float32(0), np.float32(1)
# tanh(x) / x as a ratio of polynomials of x^2: fitted up to 8.4, then moved by units in the last
# place to where the largest error of float32 is least. At REACH and beyond it is 1.
REACH = np.float32(8.30461788)
P1, P2, P3, P4 = map(np.float32, (0.134221196, 3.54459556e-3, 2.14272695e-5, 1.45212589e-8))
Q1, Q2, Q3, Q4 = map(np.float32, (0.467554480, 2.60628685e-2, 3.36623139e-4, 8.24638107e-7))
# exp, as in Cephes' expf: log(2) in two parts, and the polynomial of the rest.
LOG2_E, LN2_HIGH, LN2_LOW = map(np.float32, (1.44269504, 0.693359375, -2.12194440e-4))
E0, E1, E2 = map(np.float32, (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3))
E3, E4, E5 = map(np.float32, (4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1))
LARGEST = np.float32(87)


@formula
def within(x, reach):
    """x clamped to +-reach."""
    x = reach if x > reach else x
    return -reach if x < -reach else x


@formula
def tanh(x):
    """Within 5 units in the last place, 2.5e-7 of the value."""
    x = within(x, REACH)
    s = x * x
    p = (((P4 * s + P3) * s + P2) * s + P1) * s + ONE
    q = (((Q4 * s + Q3) * s + Q2) * s + Q1) * s + ONE
    return within(x * p / q, ONE)


@formula
def exp(x):
    """2^k e^r, with |r| <= log(2) / 2; arguments beyond +-87 count as +-87."""
    x = within(x, LARGEST)
    k = np.rint(x * LOG2_E)
    r = (x - k * LN2_HIGH) - k * LN2_LOW
    p = ((((E0 * r + E1) * r + E2) * r + E3) * r + E4) * r + E5
    power = np.int32((np.int32(k) + 127) << 23).view(np.float32)
    return (p * (r * r) + r + ONE) * power


@inner
def spread(column):
    """The tile whose columns are all `column` (rows,)."""
    tile = np.empty((len(column), LANES), np.float32)
    for i in range(len(column)):
        row = tile[i]
        for s in range(len(row)):
            row[s] = column[i]
    return tile


@inner
def copy(tile, out):
    """out = tile; an assignment of arrays takes Numba four times as long."""
    source, target = tile.ravel(), out.ravel()
    for i in range(len(source)):
        target[i] = source[i]


@inner
def product(start, a, b, out):
    """out (R, LANES) = start + a (R, K) @ b (K, LANES), K a multiple of 4; `start` is not `out`.

    Four rows of b stay in registers while all rows of `out` pass by.
    """
    b0, b1, b2, b3 = b[0], b[1], b[2], b[3]
    for i in range(len(out)):
        old, row, a0, a1, a2, a3 = start[i], out[i], a[i, 0], a[i, 1], a[i, 2], a[i, 3]
        for s in range(LANES):
            row[s] = old[s] + a0 * b0[s] + a1 * b1[s] + a2 * b2[s] + a3 * b3[s]
    add_product(a[:, 4:], b[4:], out)


@inner
def add_product(a, b, out):
    """out += a @ b, as `product`; K may be 0."""
    for k in range(0, a.shape[1], 4):
        b0, b1, b2, b3 = b[k], b[k + 1], b[k + 2], b[k + 3]
        for i in range(len(out)):
            row, a0, a1, a2, a3 = out[i], a[i, k], a[i, k + 1], a[i, k + 2], a[i, k + 3]
            for s in range(LANES):
                row[s] += a0 * b0[s] + a1 * b1[s] + a2 * b2[s] + a3 * b3[s]
