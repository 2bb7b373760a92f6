"""tanh, exp and softmax as plain float32 arithmetic, which LLVM turns into vectors.

The functions of the C library take one number at a time. NaN stays NaN everywhere.
"""

import numpy as np

from scripts.tep_bp.training.fused.compiled import LOOSE, inner
from scripts.tep_bp.training.fused.products import LANES

ZERO, ONE = np.float32(0), np.float32(1)
RELU, TANH = 0, 1

# tanh(x) = x p(x^2) / q(x^2): the minimax rational of Eigen's generic_fast_tanh_float and of XLA.
TANH_REACH = np.float32(7.90531110763549805)  # beyond, tanh rounds to +-1
P = [4.89352455891786e-03, 6.37261928875436e-04, 1.48572235717979e-05, 5.12229709037114e-08]
P0, P1, P2, P3 = (np.float32(p) for p in P)
P4, P5, P6 = (
    np.float32(p) for p in (-8.60467152213735e-11, 2.00018790482477e-13, -2.76076847742355e-16)
)
Q = [4.89352518554385e-03, 2.26843463243900e-03, 1.18534705686654e-04, 1.19825839466702e-06]
Q0, Q1, Q2, Q3 = (np.float32(q) for q in Q)

# exp(x) = 2^k e^r, |r| <= log(2) / 2: the polynomial of Cephes' expf.
EXP_REACH = np.float32(87)
PER_LOG2, LOG2_HIGH, LOG2_LOW = (np.float32(c) for c in (1.44269504, 0.693359375, -2.12194440e-4))
E = [0.5000000120, 0.16666665459, 0.041665795894, 0.0083334519073, 0.0013981999507]
E0, E1, E2, E3, E4 = (np.float32(e) for e in E)
E5, HALF = np.float32(1.9875691500e-4), np.float32(0.5)
BIAS, MANTISSA = np.int32(127), np.int32(23)


@inner(LOOSE | {"arcp"})  # a reciprocal with a step of Newton's is half the time of a division
def tanh(x):
    x = TANH_REACH if x > TANH_REACH else x
    x = -TANH_REACH if x < -TANH_REACH else x
    s = x * x
    p = P0 + s * (P1 + s * (P2 + s * (P3 + s * (P4 + s * (P5 + s * P6)))))
    q = Q0 + s * (Q1 + s * (Q2 + s * Q3))
    return x * p / q


@inner({"contract"})  # reassociated, the two parts of log(2) would be one
def exp(x):
    """Arguments beyond +-87 count as +-87."""
    x = EXP_REACH if x > EXP_REACH else x
    x = -EXP_REACH if x < -EXP_REACH else x
    k = np.floor(x * PER_LOG2 + HALF)
    r = x - k * LOG2_HIGH
    r = r - k * LOG2_LOW
    polynomial = E0 + r * (E1 + r * (E2 + r * (E3 + r * (E4 + r * E5))))
    power = np.int32((np.int32(k) + BIAS) << MANTISSA).view(np.float32)
    return (ONE + r + r * r * polynomial) * power


@inner()
def activate(z, activation, out):
    """out = rho(z), both (rows, LANES); out may be z."""
    for i in range(len(z)):
        if activation == TANH:
            for s in range(LANES):
                out[i, s] = tanh(z[i, s])
        else:
            for s in range(LANES):
                out[i, s] = ZERO if z[i, s] < ZERO else z[i, s]


@inner()
def slope(h, activation, out):
    """Derivative of the activation where it is h."""
    for i in range(h.shape[0]):
        for s in range(LANES):
            if activation == TANH:
                out[i, s] = ONE - h[i, s] * h[i, s]
            else:
                out[i, s] = ONE if h[i, s] > ZERO else ZERO


@inner()
def softmax(z):
    """Over the rows of z (C, LANES), in place: each column is a sample."""
    top, total = z[0].copy(), np.zeros_like(z[0])
    for c in range(1, len(z)):
        for s in range(LANES):
            top[s] = top[s] if top[s] > z[c, s] else z[c, s]
    for c in range(len(z)):
        for s in range(LANES):
            z[c, s] = exp(z[c, s] - top[s])
            total[s] += z[c, s]
    for s in range(LANES):
        total[s] = ONE / total[s]
    for c in range(len(z)):
        for s in range(LANES):
            z[c, s] *= total[s]
