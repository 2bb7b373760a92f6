"""How responses are coded, where a file can be read in two ways: said, or refused."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from scripts.deep_gpcm.data.responses import MOST_CATEGORIES, CastError, cast
from scripts.deep_gpcm.options import LongTable
from scripts.lib.faults import LoadError

MOST_CODE = 10**6  # of a response
AS_CODED = "from 0, as 0 occurs"
FROM_ONE = "from 1, as no 0 occurs: 1 is read as the lowest category (else response_base: 0)"


def lowest(responses: np.ndarray, stated: int | None, where: str) -> tuple[int, str]:
    """The response of the lowest category, and a phrase that says why.

    responses (n,) whole numbers; `stated` is the key `response_base`. Without it, 0 is the lowest,
    or 1 where no 0 occurs. What fits neither, or both equally well, is a LoadError.
    """
    if stated is not None:
        return stated, f"from {stated} (response_base)"
    least, most = int(responses.min()), int(responses.max())
    if least > 1 or least == most == 1:
        seen = f"are all {least}" if least == most else f"are {least} to {most}"
        raise LoadError(
            f"{where}: the responses {seen}, which does not tell where the categories start; "
            "state response_base, the response of the lowest one."
        )
    return (1, FROM_ONE) if least == 1 else (0, AS_CODED)


def graded(
    values: pa.Array, source: LongTable, where: Callable[[int], str]
) -> tuple[np.ndarray, str]:
    """Categories from 0, (n,), of a column of responses, and how it was read.

    True and False are 1 and 0; `where(row)` says where a row stands. LoadError at the first
    response that is no category.
    """

    def fault(row: int) -> str:
        return f"{where(row)} has response {values[row].as_py()}"

    try:
        found = cast(values, pa.float64(), pa.bool_()).cast(pa.float64()).to_numpy()
    except CastError as error:
        said = f"{where(error.row)} has response {values[error.row].as_py()!r}"
        raise LoadError(
            f"{said}; expected whole numbers (leave out rows without an answer)."
        ) from error
    broken, far = found != np.floor(found), np.abs(found) > MOST_CODE
    if broken.any():
        remedy = "expected whole numbers; number the grades, such as 0, 0.5, 1 as 0, 1, 2"
        raise LoadError(f"{fault(int(np.argmax(broken)))}; {remedy}.")
    if far.any():
        allowed = f"expected at most {MOST_CATEGORIES} categories"
        raise LoadError(f"{fault(int(np.argmax(far)))}; {allowed}.")
    found = found.astype(np.int64)
    base, coded = lowest(found, source.response_base, source.path)
    return categories_of(found, base, source.categories or MOST_CATEGORIES, fault), coded


def categories_of(
    responses: np.ndarray, base: int, most: int, fault: Callable[[int], str]
) -> np.ndarray:
    """Categories from 0 of responses (n,); LoadError at the first that is not below `most`.

    `fault(row)` says where the row stands and what it holds.
    """
    outside = (responses < base) | (responses >= base + most)
    if outside.any():
        row = int(np.argmax(outside))
        hint = "" if responses[row] >= base else " (response_base states another lowest one)"
        raise LoadError(
            f"{fault(row)}; expected a whole number from {base} to {base + most - 1}{hint}."
        )
    return responses - base


def levels_read(item: np.ndarray, category: np.ndarray, levels: np.ndarray) -> str:
    """What is said of the categories that items (Q,) were given from their answers (n,)."""
    seen = np.zeros((len(levels), int(levels.max())), bool)
    seen[item, category] = True
    gaps = int((seen.sum(axis=1) < levels).sum())
    few, many = int(levels.min()), int(levels.max())
    each = f"{few}" if few == many else f"{few} to {many}"
    told = f"{each} an item, up to its highest response (else categories)"
    return told + (f"; {gaps} items have one below that nobody gave" if gaps else "")
