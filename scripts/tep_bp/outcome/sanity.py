"""Results beside the band in which they are expected: a check, never a result."""

import pandas as pd

from scripts.lib.table_files import together
from scripts.tep_bp.options import Band

SANITY = ["rule", "quantity", "value", "low", "high", "inside"]
PAIR = ("tep", "bp")  # whose difference has a band


def sanity(band: Band, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Table sanity: each quantity of which something is expected, and whether it is inside.

    best and median are validation accuracies over trials, test the accuracy of the
    validation-chosen configuration, difference its tep - bp. Without a value `inside` is missing.
    """
    known = {quantity: span for quantity, span in band if span}
    rows = []
    for quantity, (low, high) in known.items():
        for rule, value in _values(quantity, tables):
            row = {"rule": rule, "quantity": quantity, "value": value, "low": low, "high": high}
            if not pd.isna(value):
                row["inside"] = bool(low <= value <= high)
            rows.append(row)
    return together(rows, SANITY)


def _values(quantity: str, tables: dict[str, pd.DataFrame]) -> list[tuple]:
    if quantity == "difference":
        pairs = tables["pairs"]
        pairs = pairs[
            (pairs["scope"] == "chosen")
            & (pairs["rounding"] == 0)
            & pairs[["first", "second"]].isin(PAIR).all(axis=1)
        ]
        sign = [1 if first == PAIR[0] else -1 for first in pairs["first"]]
        return [(" - ".join(PAIR), value) for value in pairs["difference"] * sign]
    if quantity == "test":
        rows, quantity = tables["repeats"], "test_accuracy"
        rows = rows[rows["rank"] == 0]
    else:
        rows = tables["robustness"]
    return list(zip(rows["rule"], rows[quantity], strict=True))
