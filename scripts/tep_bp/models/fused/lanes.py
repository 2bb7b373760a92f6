"""Arithmetic on lanes: one float32 per sample, side by side in vector registers.

Python operators on `Lanes` write LLVM instructions, so that a formula reads as it is computed and
is surely vectorised; vectors wider than the processor's are split. Multiplications and additions
are contracted, nothing is reassociated, and NaN stays NaN.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 32  # of a tile of samples: two of the widest vectors
NUMBER, WHOLE = ir.FloatType(), ir.IntType(32)
ROUNDED = {"flags": ("contract", "nsz")}


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

    def equals(self, other: Lanes, then: float, otherwise: float) -> Lanes:
        """Numbers by whether whole numbers are equal."""
        mask = self.builder.icmp_signed("==", self.value, other.value)
        kind = ir.VectorType(NUMBER, self.value.type.count)
        pair = (ir.Constant(kind, [number] * kind.count) for number in (then, otherwise))
        return Lanes(self.builder, self.builder.select(mask, *pair))

    def within(self, reach: float) -> Lanes:
        """Clamped to +-reach."""
        low = self.above(reach, reach, self)
        return self.filled(-reach).above(low, -reach, low)

    def filled(self, number: float) -> Lanes:
        """The number in as many lanes."""
        return Lanes(self.builder, self._other(number))

    def power_of_two(self) -> Lanes:
        """2^self for whole numbers from -126 to 127."""
        whole = ir.VectorType(WHOLE, self.value.type.count)
        biased = self.builder.fptosi((self + 127.0).value, whole)
        bits = self.builder.shl(biased, ir.Constant(whole, [23] * whole.count))
        return Lanes(self.builder, self.builder.bitcast(bits, self.value.type))


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


class Variable:
    """Lanes that a loop changes; LLVM keeps them in a register."""

    def __init__(self, start: Lanes):
        self.builder = start.builder
        self.place = cgutils.alloca_once_value(self.builder, start.value)

    def get(self) -> Lanes:
        return Lanes(self.builder, self.builder.load(self.place))

    def set(self, lanes: Lanes) -> None:
        self.builder.store(lanes.value, self.place)


@contextlib.contextmanager
def counted(rows: Rows) -> Iterator[ir.Value]:
    """The body is repeated for each row number of `rows`."""
    with cgutils.for_range(rows.builder, rows.count) as loop:
        yield loop.index


def lanewise(lanes: int = LANES) -> Callable:
    """Decorator: write(context, *arguments) becomes a function for compiled code, without result.

    Its arrays arrive as `Rows`, its numbers as `Lanes` of equal numbers. Arguments may overlap:
    what is read after a write is what was written.
    """

    def decorate(write: Callable) -> Callable:
        def codegen(context, builder, signature, arguments):
            given = []
            for kind, value in zip(signature.args, arguments, strict=True):
                if isinstance(kind, types.Array):
                    given.append(Rows(context, builder, kind, value, lanes))
                else:
                    given.append(Lanes(builder, wide(builder, value, lanes)))
            write(context, *given)
            return context.get_dummy_value()

        def typed(context, *kinds):
            return types.void(*kinds), codegen

        typed.__signature__, typed.__name__ = inspect.signature(write), write.__name__
        return intrinsic(typed)

    return decorate
