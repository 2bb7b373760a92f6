"""How responses are coded, where a file can be read in two ways: said, or refused."""

from collections.abc import Callable

import numpy as np

from scripts.lib.faults import LoadError

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
