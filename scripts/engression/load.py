"""Simulate the training samples of one block of replications: data/{block}.parquet.

Columns: law, n, rep, x (list of n float32).
"""

from pathlib import Path

import numpy as np
import pyarrow as pa

from scripts.engression.laws import LAWS
from scripts.lib.seeds import numpy_rng
from scripts.lib.stage import arguments
from scripts.lib.tables import write_table


def simulate(seed: int, law: str, n: int, rep: int) -> np.ndarray:
    """Sample of one unit, float32 of shape (n,), from the unit's `data` stream.

    Departs: the source's data generators are never seeded (spec 1.6).
    """
    rng = numpy_rng(seed, "engression", law, n, rep, "data")
    return LAWS[law].draw(rng, n).astype(np.float32)


if __name__ == "__main__":
    args = arguments(data=Path)
    laws, sizes, reps = zip(*args.spec["units"], strict=True)
    samples = [simulate(args.spec["seed"], *unit) for unit in args.spec["units"]]
    x = pa.array(samples, pa.list_(pa.float32()))
    write_table(args.data, {"law": laws, "n": sizes, "rep": reps, "x": x})
