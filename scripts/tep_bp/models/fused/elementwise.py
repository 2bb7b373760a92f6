"""The formulas of the elementwise work, in float32. NaN stays NaN everywhere.

The C library's tanh and exp take one number at a time, ten times as long.
"""

from collections.abc import Callable

from scripts.tep_bp.models.fused.lanes import Lanes, Rows, Variable, counted, lanewise

ROUNDER = 1.5 * 2**23  # added and subtracted, it leaves the nearest whole number


def tanh(x: Lanes) -> Lanes:
    """x p(x^2) / q(x^2), as in Eigen's generic_fast_tanh_float and XLA; beyond 7.9 it is +-1."""
    x = x.within(7.90531110763549805)
    s = x * x
    p = s * -2.76076847742355e-16 + 2.00018790482477e-13
    for coefficient in (
        -8.60467152213735e-11,
        5.12229709037114e-08,
        1.48572235717979e-05,
        6.37261928875436e-04,
        4.89352455891786e-03,
    ):
        p = p * s + coefficient
    q = s * 1.19825839466702e-06 + 1.18534705686654e-04
    for coefficient in (2.26843463243900e-03, 4.89352518554385e-03):
        q = q * s + coefficient
    return x * p / q


def relu(x: Lanes) -> Lanes:
    return x.filled(0.0).above(x, 0.0, x)


def exp(x: Lanes) -> Lanes:
    """2^k e^r, with the polynomial of Cephes' expf; arguments beyond +-87 count as +-87."""
    x = x.within(87.0)
    k = (x * 1.44269504 + ROUNDER) - ROUNDER
    r = x - k * 0.693359375
    r = r - k * -2.12194440e-4  # the two parts of log(2)
    p = r * 1.9875691500e-4 + 1.3981999507e-3
    for coefficient in (8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1):
        p = p * r + coefficient
    return (p * (r * r) + r + 1.0) * k.power_of_two()


def slope_relu(h: Lanes) -> Lanes:
    """Derivative of relu where it is h."""
    return h.above(0.0, 1.0, 0.0)


def slope_tanh(h: Lanes) -> Lanes:
    """Derivative of tanh where it is h."""
    return h * h * -1.0 + 1.0


def mapped(formula: Callable[[Lanes], Lanes]) -> Callable:
    """over(x, out): out = formula(x) by rows of lanes; out may be x."""

    @lanewise()
    def over(context, x: Rows, out: Rows):
        with counted(x) as row:
            out[row] = formula(x[row])

    return over


relu_of, tanh_of, negative_of = mapped(relu), mapped(tanh), mapped(lambda x: x * -1.0)
slope_relu_of, slope_tanh_of = mapped(slope_relu), mapped(slope_tanh)
copy_of, zero_of = mapped(lambda x: x), mapped(lambda x: x.filled(0.0))


@lanewise()
def multiplied(context, x: Rows, y: Rows, out: Rows):
    """out = x y; out may be either."""
    with counted(x) as row:
        out[row] = x[row] * y[row]


@lanewise()
def centred(context, x: Rows, y: Rows):
    """x, y = x - y, (x + y) / 2."""
    with counted(x) as row:
        difference, mean = x[row] - y[row], (x[row] + y[row]) * 0.5
        x[row], y[row] = difference, mean


@lanewise()
def softmax_error(context, z: Rows, truth: Rows, numbers: Rows, weight: Rows):
    """z = weight (softmax(z) - onehot(truth)) over the rows of z (C, LANES), in place.

    truth (1, LANES) int32 are classes, numbers (C, 1) int32 those of the rows; weight (1, LANES).
    """
    top, total = Variable(z[0]), Variable(z[0].filled(0.0))
    with counted(z) as c:
        top.set(top.get().above(z[c], top.get(), z[c]))
    with counted(z) as c:
        z[c] = exp(z[c] - top.get())
        total.set(total.get() + z[c])
    share, own = total.get().filled(1.0) / total.get(), truth[0]
    with counted(z) as c:
        z[c] = (z[c] * share - numbers.spread(c, 0).equals(own, 1.0, 0.0)) * weight[0]
