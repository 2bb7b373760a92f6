"""The parameters of a trial and the tiles of its samples, as the compiled steps take them."""

import math
from typing import NamedTuple

import numpy as np

from scripts.lib.compiled import inner
from scripts.tep_bp.models.fused.arithmetic import LANES

LINE = 16  # float32 of the cache
DRIVE, FREE, MOVED, CENTRE = range(4)
TRUTH, ERROR = range(2)


class Shape(NamedTuple):
    """Numbers of inputs (a multiple of 4, filled up by zeros), hidden units and classes."""

    inputs: int
    hidden: int
    classes: int
    recurrent: bool


class Parameters(NamedTuple):
    """Views of one array, biases last; a row per unit or class. W is (0, d) without recurrence."""

    W_x: np.ndarray  # (d, D)
    W: np.ndarray  # (d, d), symmetric
    W_o: np.ndarray  # (C, d)
    b: np.ndarray  # (d,)
    b_o: np.ndarray  # (C,)


class Samples(NamedTuple):
    """Samples in T tiles, of which the last may have some that count for nothing.

    Of `states`, DRIVE is W_x x + b, FREE the free state h, MOVED h+ - h- of tep or else the
    adjoint, CENTRE (h+ + h-) / 2 or h. Of `classes`, TRUTH is 1 for the class of the sample, ERROR
    the free state's softmax - TRUTH.
    """

    x: np.ndarray  # (T, D, LANES)
    squares: np.ndarray  # (D / LANES, T, LANES, LANES), as `transposed` makes them
    weight: np.ndarray  # (T, LANES), 1 for a sample that counts
    classes: np.ndarray  # (2, T, C, LANES)
    states: np.ndarray  # (4, T, d, LANES)


class HeavyBall(NamedTuple):
    """The heavy ball: h' = omega image + kept h - mu (previous h), so many times.

    mu is the momentum, and kept is 1 - omega + mu.
    """

    omega: float
    kept: float
    mu: float
    free: int
    nudged: int


def fours(n: int) -> int:
    """The next multiple of 4."""
    return math.ceil(n / 4) * 4


def zeros(*shape: int) -> np.ndarray:
    """float32 zeros that begin on a line of the cache."""
    size = math.prod(shape)
    buffer = np.zeros(size + LINE, np.float32)
    start = -buffer.ctypes.data // buffer.itemsize % LINE
    return buffer[start : start + size].reshape(shape)


@inner
def parameters(flat, shape):
    """The views, for Python as `parameters.py_func`."""
    inputs, d, classes, recurrent = shape
    a = d * inputs
    b = a + (d * d if recurrent else 0)
    c = b + classes * d
    w_x, w, w_o = flat[:a].reshape(d, inputs), flat[a:b].reshape(-1, d), flat[b:c].reshape(-1, d)
    return Parameters(w_x, w, w_o, flat[c : c + d], flat[c + d :])


@inner
def tile(samples, t):
    """Of tile t the drive, the free state, what is moved, the centre, truth, error and weight."""
    a, b = samples.states, samples.classes
    states = a[DRIVE, t], a[FREE, t], a[MOVED, t], a[CENTRE, t]
    return *states, b[TRUTH, t], b[ERROR, t], samples.weight[t]


def n_numbers(shape: Shape) -> int:
    """The size of all parameters."""
    inputs, d, classes, recurrent = shape
    return d * (inputs + recurrent * d + classes + 1) + classes


def samples(n: int, shape: Shape) -> Samples:
    """Buffer for n samples."""
    tiles, (inputs, d, classes, _) = math.ceil(n / LANES), shape
    weight = zeros(tiles, LANES)
    weight.ravel()[:n] = 1
    squares = zeros(math.ceil(inputs / LANES), tiles, LANES, LANES)
    classes, states = zeros(2, tiles, classes, LANES), zeros(4, tiles, d, LANES)
    return Samples(zeros(tiles, inputs, LANES), squares, weight, classes, states)
