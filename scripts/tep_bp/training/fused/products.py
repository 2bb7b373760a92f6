"""Products of small matrices, whose sums stay in vector registers.

A block of the answer, some rows by one vector of columns, is a loop over the inner dimension of
"one line of b, times one number of each row of a". LLVM does not keep such a block in registers by
itself, so its loop is written in LLVM's language; vectors wider than the processor's are split.
Every sum runs in order of the inner index, so a product does not depend on what is beside it.
"""

from collections.abc import Callable

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from scripts.tep_bp.training.fused.compiled import inner

LANES = 32  # columns of a tile of samples: two of the widest vectors
NUMBER, INDEX = ir.FloatType(), ir.IntType(32)


def block(rows: int, lanes: int) -> Callable:
    """multiply(start, a, b, out): out = start + a @ b, the first `lanes` columns of `rows` rows.

    float32 arrays of two dimensions, any strides of a, columns of the others side by side. `out`
    may be `start`.
    """
    line = ir.VectorType(NUMBER, lanes)
    everywhere = ir.Constant(ir.VectorType(INDEX, lanes), [0] * lanes)

    def codegen(context, builder, signature, arguments):
        typed = zip(signature.args, arguments, strict=True)
        start, a, b, out = (context.make_array(ty)(context, builder, value) for ty, value in typed)

        def pointer(array, row, column, kind):
            address = builder.ptrtoint(array.data, row.type)
            for index, stride in zip(
                (row, column), cgutils.unpack_tuple(builder, array.strides), strict=True
            ):
                address = builder.add(address, builder.mul(index, stride))
            return builder.inttoptr(address, kind.as_pointer())

        depth = cgutils.unpack_tuple(builder, b.shape)[0]
        numbered = [ir.Constant(depth.type, row) for row in range(rows)]
        zero = numbered[0]
        sums = [
            cgutils.alloca_once_value(builder, builder.load(pointer(start, row, zero, line), align=4))
            for row in numbered
        ]
        with cgutils.for_range(builder, depth) as loop:
            values = builder.load(pointer(b, loop.index, zero, line), align=4)
            for row, total in zip(numbered, sums, strict=True):
                factor = builder.load(pointer(a, row, loop.index, NUMBER), align=4)
                undefined = ir.Constant(line, ir.Undefined)
                factors = builder.insert_element(undefined, factor, INDEX(0))
                factors = builder.shuffle_vector(factors, undefined, everywhere)
                term = builder.fmul(factors, values, flags=("contract",))
                builder.store(builder.fadd(builder.load(total), term, flags=("contract",)), total)
        for row, total in zip(numbered, sums, strict=True):
            builder.store(builder.load(total), pointer(out, row, zero, line), align=4)
        return context.get_dummy_value()

    @intrinsic
    def multiply(typing_context, start, a, b, out):
        return types.void(start, a, b, out), codegen

    return multiply


eight_rows, two_rows, one_row = block(8, LANES), block(2, LANES), block(1, LANES)
eight_by_sixteen, eight_by_eight = block(8, 16), block(8, 8)


@inner()
def onto_tile(start, a, b, out):
    """out (R, LANES) = start + a (R, K) @ b (K, LANES), any R."""
    row, rows = 0, len(a)
    while row + 8 <= rows:
        eight_rows(start[row : row + 8], a[row : row + 8], b, out[row : row + 8])
        row += 8
    while row + 2 <= rows:
        two_rows(start[row : row + 2], a[row : row + 2], b, out[row : row + 2])
        row += 2
    if row < rows:
        one_row(start[row:], a[row:], b, out[row:])


@inner()
def onto_tiles(a, b, out):
    """out (R, P) = sum over tiles of a (tiles, R, LANES) @ b (tiles, LANES, P), R and P in eights.

    A band of eight rows meets all tiles while it is in the cache.
    """
    columns = out.shape[1]
    out[:] = 0
    for row in range(0, len(out), 8):
        for tile in range(len(a)):
            band, factors, lines = out[row : row + 8], a[tile, row : row + 8], b[tile]
            column = 0
            while column + LANES <= columns:
                part = band[:, column : column + LANES]
                eight_rows(part, factors, lines[:, column : column + LANES], part)
                column += LANES
            if column + 16 <= columns:
                part = band[:, column : column + 16]
                eight_by_sixteen(part, factors, lines[:, column : column + 16], part)
                column += 16
            if column < columns:
                part = band[:, column:]
                eight_by_eight(part, factors, lines[:, column:], part)
