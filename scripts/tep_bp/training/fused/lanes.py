"""Arithmetic on lanes: one float32 per sample, side by side in vector registers.

Python operators on `Lanes` write LLVM instructions, so that a formula reads as it is computed and
is surely vectorised; vectors wider than the processor's are split. Multiplications and additions
are contracted, nothing is reassociated, and NaN stays NaN.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 32  # of a tile of samples: two of the widest vectors
NUMBER, WHOLE = ir.FloatType(), ir.IntType(32)
ROUNDED = {"flags": ("contract", "nsz")}
ROUNDER = 1.5 * 2**23  # added and subtracted, it leaves the nearest whole number


def wide(builder: ir.IRBuilder, scalar: ir.Value, lanes: int) -> ir.Value:
    """The same number in all lanes."""
    undefined = ir.Constant(ir.VectorType(scalar.type, lanes), ir.Undefined)
    first = builder.insert_element(undefined, scalar, WHOLE(0))
    everywhere = ir.Constant(ir.VectorType(WHOLE, lanes), [0] * lanes)
    return builder.shuffle_vector(first, undefined, everywhere)


@dataclass(frozen=True)
class Lanes:
    """A vector in a register; the other operand may be a Python number."""

    builder: ir.IRBuilder
    value: ir.Value

    def _other(self, other: Lanes | float) -> ir.Value:
        if isinstance(other, Lanes):
            return other.value
        return ir.Constant(self.value.type, [other] * self.value.type.count)

    def _with(self, operation: Callable, other: Lanes | float, **flags) -> Lanes:
        return Lanes(self.builder, operation(self.value, self._other(other), **flags))

    def __add__(self, other):
        return self._with(self.builder.fadd, other, **ROUNDED)

    def __sub__(self, other):
        return self._with(self.builder.fsub, other, **ROUNDED)

    def __mul__(self, other):
        return self._with(self.builder.fmul, other, **ROUNDED)

    def __truediv__(self, other):
        return self._with(self.builder.fdiv, other, **ROUNDED)

    __radd__, __rmul__ = __add__, __mul__

    def above(self, other, then, otherwise) -> Lanes:
        """`then` where self > other, else `otherwise`; a NaN is not above."""
        mask = self.builder.fcmp_ordered(">", self.value, self._other(other))
        chosen = self.builder.select(mask, self._other(then), self._other(otherwise))
        return Lanes(self.builder, chosen)

    def within(self, reach: float) -> Lanes:
        """Clamped to +-reach."""
        low = self.above(reach, reach, self)
        return Lanes(self.builder, self._other(-reach)).above(low, -reach, low)

    def power_of_two(self) -> Lanes:
        """2^self for whole numbers from -126 to 127."""
        whole = ir.VectorType(WHOLE, self.value.type.count)
        biased = self.builder.fptosi((self + 127.0).value, whole)
        bits = self.builder.shl(biased, ir.Constant(whole, [23] * whole.count))
        return Lanes(self.builder, self.builder.bitcast(bits, self.value.type))


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
    zero = x * 0.0 if False else Lanes(x.builder, x._other(0.0))
    return zero.above(x, 0.0, x)


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


class Rows:
    """A float32 array of two dimensions, taken and filled by rows of lanes."""

    def __init__(self, context, builder, kind, value, lanes: int = LANES):
        self.builder, self.lanes = builder, lanes
        self.array = context.make_array(kind)(context, builder, value)
        self.strides = cgutils.unpack_tuple(builder, self.array.strides)
        self.count = cgutils.unpack_tuple(builder, self.array.shape)[0]
        self.line = ir.VectorType(context.get_data_type(kind.dtype), lanes)

    def _pointer(self, kind: ir.Type, *index) -> ir.Value:
        builder, address_type = self.builder, self.count.type
        address = builder.ptrtoint(self.array.data, address_type)
        for i, stride in zip(index, self.strides, strict=False):
            i = ir.Constant(address_type, i) if isinstance(i, int) else i
            address = builder.add(address, builder.mul(i, stride))
        return builder.inttoptr(address, kind.as_pointer())

    def __getitem__(self, row) -> Lanes:
        return Lanes(self.builder, self.builder.load(self._pointer(self.line, row), align=4))

    def __setitem__(self, row, lanes: Lanes) -> None:
        self.builder.store(lanes.value, self._pointer(self.line, row), align=4)

    def spread(self, row, column) -> Lanes:
        """One number of the array in all lanes."""
        number = self.builder.load(self._pointer(self.line.element, row, column), align=4)
        return Lanes(self.builder, wide(self.builder, number, self.lanes))


def instructions(lanes: int = LANES) -> Callable:
    """Decorator: write(builder, *arguments) becomes a function for compiled code, without result.

    Its arrays arrive as `Rows`, its numbers as `Lanes` of equal numbers.
    """

    def decorate(write: Callable) -> Callable:
        def codegen(context, builder, signature, arguments):
            found = []
            for kind, value in zip(signature.args, arguments, strict=True):
                if isinstance(kind, types.Array):
                    found.append(Rows(context, builder, kind, value, lanes))
                else:
                    found.append(Lanes(builder, wide(builder, value, lanes)))
            write(builder, *found)
            return context.get_dummy_value()

        return codegen

    return decorate
