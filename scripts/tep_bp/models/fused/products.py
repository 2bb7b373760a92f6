"""Products of small matrices, whose sums stay in vector registers.

A block of the answer, some rows by one vector of columns, is a loop over the inner dimension of
"one line of b, times one number of each row of a". Each sum runs in order of the inner index, so a
product does not depend on what is computed beside it.
"""

from collections.abc import Callable

from scripts.lib.compiled import inner
from scripts.tep_bp.models.fused.lanes import LANES, Lanes, Rows, Variable, counted, lanewise


def sums(start: Rows, a: Rows, b: Rows, rows: int) -> list[Lanes]:
    """start + a @ b, so many rows of it."""
    totals = [Variable(start[row]) for row in range(rows)]
    with counted(b) as k:
        line = b[k]
        for row, total in enumerate(totals):
            total.set(total.get() + a.spread(row, k) * line)
    return [total.get() for total in totals]


def block(rows: int, lanes: int) -> Callable:
    """multiply(start, a, b, out): out = start + a @ b, the first `lanes` columns of `rows` rows.

    float32 arrays of two dimensions, any strides of a, columns of the others side by side. `out`
    may be `start`.
    """

    @lanewise(lanes)
    def multiply(context, start: Rows, a: Rows, b: Rows, out: Rows):
        for row, total in enumerate(sums(start, a, b, rows)):
            out[row] = total

    return multiply


eight_rows, two_rows, one_row = block(8, LANES), block(2, LANES), block(1, LANES)
eight_by_sixteen, eight_by_eight = block(8, 16), block(8, 8)


@inner
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


@inner
def onto_tiles(a, b, out):
    """out (R, P) = sum over tiles of a (T, R, LANES) @ b (T, LANES, P), R and P in eights."""
    columns = out.shape[1]
    for i in range(len(out)):
        for j in range(columns):
            out[i, j] = 0
    for row in range(0, len(out), 8):
        for tile in range(len(a)):  # a band of eight rows meets all tiles while it is in the cache
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
