"""Text or typed columns as numbers, and the row that cannot be one."""

import pyarrow as pa


class CastError(ValueError):
    """The value in this `row` is none of the wanted types."""

    def __init__(self, row: int):
        super().__init__(row)
        self.row = row


def cast(values: pa.Array, *kinds: pa.DataType) -> pa.Array:
    """All values as the first of `kinds` that holds each of them without loss.

    Raises CastError with the first row that stops the kind that came furthest.
    """
    for kind in kinds:
        if _holds(values, kind):
            return values.cast(kind)
    raise CastError(max(_failing(values, kind) for kind in kinds))


def _holds(values: pa.Array, kind: pa.DataType) -> bool:
    try:
        values.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return False
    return True


def _failing(values: pa.Array, kind: pa.DataType) -> int:
    low, high = 0, len(values) - 1
    while low < high:
        middle = (low + high) // 2
        if _holds(values[: middle + 1], kind):
            low = middle + 1
        else:
            high = middle
    return low
