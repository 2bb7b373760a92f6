"""What every split into parts must be: nobody is in two parts, in none, or alone with nobody."""

from collections.abc import Mapping, Sequence

import numpy as np

from scripts.lib.faults import LoadError


def check_parts(parts: Mapping[str, np.ndarray], n: int, where: str) -> None:
    """LoadError unless the parts hold row numbers, none is empty, and together 0..n-1 once each.

    What is called a test would else have been trained on, or be no test.
    """
    for name, rows in parts.items():
        if not len(rows):
            raise LoadError(f"{where}: the part {name} is empty; expected rows in each part.")
    rows = np.concatenate([np.asarray(rows).ravel() for rows in parts.values()])
    if outside := int(((rows < 0) | (rows >= n)).sum()):
        raise LoadError(f"{where}: the parts have {outside} rows that are none of the {n}.")
    times = np.bincount(rows, minlength=n)
    if (times != 1).any():
        row = int(np.argmax(times != 1))
        raise LoadError(
            f"{where}: row {row} is in {times[row]} of the parts {', '.join(parts)}; expected each "
            "row in one."
        )


def rows_of(labels: Sequence[str], names: Sequence[str], where: str) -> dict[str, np.ndarray]:
    """Row numbers of each named part, of one label a row; checked, no other label is allowed."""
    found = np.asarray(labels, str)
    if unknown := sorted(set(np.unique(found).tolist()) - set(names)):
        raise LoadError(
            f"{where}: the part {unknown[0]!r} is unknown; expected {', '.join(names)}."
        )
    parts = {name: np.flatnonzero(found == name) for name in names}
    check_parts(parts, len(found), where)
    return parts
