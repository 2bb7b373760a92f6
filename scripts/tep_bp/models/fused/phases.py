"""The phases of a training step, each compiled into one call.

Samples do not meet before the gradient, so a tile goes through all iterations of a phase while it
is in the cache. `activation` is TANH or RELU, z a pre-activation; `buffer` (5, rows, LANES) has
tiles to work on, zero below the units and classes.
"""

import numpy as np

from scripts.lib.compiled import entry, inner
from scripts.tep_bp.models.fused.arithmetic import (
    LANES,
    ONE,
    ZERO,
    copy,
    exp,
    product,
    spread,
    tanh,
)
from scripts.tep_bp.models.fused.network import TRUTH, HeavyBall, parameters, tile

RELU, TANH, LINEAR = range(3)
PIXEL, HALF = np.float32(255), np.float32(0.5)


@entry
def gather(x, y, chosen, samples):
    """Take the samples x[chosen] (n, D), numbers or bytes, with the classes y[chosen]."""
    samples.classes[TRUTH] = ZERO
    for i in range(len(chosen)):
        t, s = divmod(i, LANES)
        source, column = x[chosen[i]], samples.x[t]
        for j in range(len(source)):
            value = np.float32(source[j])
            value = value / PIXEL if x.itemsize == 1 else value
            column[j, s] = value
            samples.squares[j // LANES, t, s, j % LANES] = value
        samples.classes[TRUTH, t, y[chosen[i]], s] = ONE


@inner
def fixed_point_step(z, activation, state, previous, solver):
    """previous = state + omega (rho(z) - state) + mu (state - previous): the next state."""
    omega, kept, mu = np.float32(solver.omega), np.float32(solver.kept), np.float32(solver.mu)
    for i in range(len(z)):
        new, old, last = z[i], state[i], previous[i]
        for s in range(LANES):
            if activation == TANH:
                image = tanh(new[s])
            elif activation == RELU:
                image = ZERO if new[s] < ZERO else new[s]
            else:
                image = new[s]
            last[s] = omega * image + kept * old[s] - mu * last[s]


@inner
def times_slope(z, h, activation):
    """z = z rho', where rho is h."""
    for i in range(len(z)):
        row, value = z[i], h[i]
        for s in range(LANES):
            if activation == TANH:
                row[s] *= ONE - value[s] * value[s]
            else:
                row[s] *= ONE if value[s] > ZERO else ZERO


@inner
def readout_error(net, bias, h, truth, weight, sign, sums, out):
    """out (C, LANES) = sign (softmax(W_o h + b_o) - truth), 0 for samples without weight.

    `bias` is the tile of b_o; `sums` (2 or more, LANES) is overwritten.
    """
    top, total = sums[0], sums[1]
    product(bias, net.W_o, h, out)
    for s in range(LANES):
        largest = out[0, s]
        for c in range(1, len(out)):
            largest = out[c, s] if out[c, s] > largest else largest
        top[s], total[s] = largest, ZERO
    for c in range(len(out)):
        row = out[c]
        for s in range(LANES):
            row[s] = exp(row[s] - top[s])
            total[s] += row[s]
    for s in range(len(total)):
        total[s] = weight[s] / total[s]
    for c in range(len(out)):
        row, own = out[c], truth[c]
        for s in range(len(row)):
            row[s] = sign * (row[s] * total[s] - own[s])


@entry
def free_phase(flat, shape, samples, activation, solver, buffer):
    """Fill DRIVE, and FREE with the states after `solver.free` iterations from 0."""
    net, d = parameters(flat, shape), shape.hidden
    bias = spread(net.b)
    for t in range(len(samples.x)):
        drive, h = tile(samples, t)[:2]
        state, previous, z = buffer[0, :d], buffer[1, :d], buffer[2, :d]
        product(bias, net.W_x, samples.x[t], drive)
        state[:], previous[:] = ZERO, ZERO
        # At 0 the image needs no product.
        fixed_point_step(drive, activation, state, previous, solver)
        for _ in range(solver.free - 1):
            state, previous = previous, state
            product(drive, net.W, state, z)
            fixed_point_step(z, activation, state, previous, solver)
        copy(previous, h)


@entry
def nudged_phase(flat, shape, samples, activation, solver, beta, buffer):
    """Tep: states nudged towards the truth and away from it, from the free ones (centred).

    Fill ERROR, MOVED and CENTRE. A state is h above its error, so that [W, -beta W_o'] times it is
    all that the image adds to the drive.
    """
    net, d, classes = parameters(flat, shape), shape.hidden, shape.classes
    joined = np.zeros((d, buffer.shape[1]), np.float32)
    joined[:, :d] = net.W
    joined[:, d : d + classes] = -beta * net.W_o.T
    bias, z, sums = spread(net.b_o), buffer[2, :d], buffer[3]
    for t in range(len(samples.x)):
        drive, h, towards, away, truth, error, weight = tile(samples, t)
        readout_error(net, bias, h, truth, weight, ONE, sums, error)
        for sign, out in ((ONE, towards), (-ONE, away)):
            state, previous = buffer[0], buffer[1]
            copy(h, state[:d])
            copy(h, previous[:d])
            for _ in range(solver.nudged):
                below = state[d : d + classes]
                readout_error(net, bias, state[:d], truth, weight, sign, sums, below)
                product(drive, joined, state, z)
                fixed_point_step(z, activation, state[:d], previous[:d], solver)
                state, previous = previous, state
            copy(state[:d], out)
        for i in range(d):
            plus, minus = towards[i], away[i]
            for s in range(LANES):
                difference, mean = plus[s] - minus[s], HALF * (plus[s] + minus[s])
                plus[s], minus[s] = difference, mean


@entry
def adjoint_phase(flat, shape, samples, activation, solver, buffer):
    """Rbp and bp: the error sent back, through the loop, if there is one, by iterating its adjoint.

    Fill ERROR; MOVED with lambda = (W_o' error + W lambda) rho'; CENTRE with h.
    """
    net, d, classes = parameters(flat, shape), shape.hidden, shape.classes
    back = np.zeros((d, buffer.shape[1] - d), np.float32)
    back[:, :classes] = net.W_o.T
    bias, nothing = spread(net.b_o), np.zeros((d, LANES), np.float32)
    z, image, below, sums = buffer[2, :d], buffer[3, :d], buffer[3, d:], buffer[4]
    for t in range(len(samples.x)):
        drive, h, moved, pushed, truth, error, weight = tile(samples, t)
        state, previous = buffer[0, :d], buffer[1, :d]
        readout_error(net, bias, h, truth, weight, ONE, sums, error)
        copy(error, below[:classes])
        product(nothing, back, below, pushed)
        if shape.recurrent:  # the slope is that of the next image
            product(drive, net.W, h, z)
            fixed_point_step(z, activation, h, image, HeavyBall(1.0, 0.0, 0.0, 1, 1))
        else:
            copy(h, image)
        state[:], previous[:] = ZERO, ZERO
        for step in range(solver.nudged):
            if step:
                product(pushed, net.W, state, z)
            else:
                copy(pushed, z)
            times_slope(z, image, activation)
            fixed_point_step(z, LINEAR, state, previous, solver)
            state, previous = previous, state
        copy(state, moved)
        copy(h, pushed)  # the centre, from here on
