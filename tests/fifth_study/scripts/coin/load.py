"""Flip the coins of all units: data/all.parquet with columns bias, rep, flips (list of bool)."""

from pathlib import Path

from scripts.lib.seeds import numpy_rng
from scripts.lib.stage import arguments
from scripts.lib.tables import write_table


def flip(seed: int, bias: float, rep: int, flips: int) -> list[bool]:
    """`flips` Bernoulli(bias) draws from the unit's stream."""
    return (numpy_rng(seed, "coin", str(bias), rep, "data").random(flips) < bias).tolist()


if __name__ == "__main__":
    args = arguments(data=Path)
    units, flips = args.spec["units"], args.spec["flips"]
    rows = [{"bias": b, "rep": r, "flips": flip(args.spec["seed"], b, r, flips)} for b, r in units]
    write_table(args.data, rows)
