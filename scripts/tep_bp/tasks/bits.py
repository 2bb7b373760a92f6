"""Boolean functions of random bits: xor of two, parity of many."""

import numpy as np

from scripts.lib.faults import LoadError
from scripts.lib.seeds import numpy_rng
from scripts.tep_bp.tasks.samples import Samples, samples

MOST_BITS, MOST_SAMPLES = 64, 1_000_000


def xor(task: dict, seed: int) -> Samples:
    """Samples (1,000 unless `samples` is given) of two bits; all parts share the four patterns."""
    return _drawn("xor", 2, task.get("samples", 1_000), seed)


def parity(task: dict, seed: int) -> Samples:
    """Samples (10,000) of `bits` bits, float32 0 or 1; class 1 where an odd number of them is 1.

    Drawn with replacement, as in the source (spec 2.5): few bits recur in all parts.
    """
    bits = task["bits"]
    if type(bits) is not int or not 2 <= bits <= MOST_BITS:
        raise LoadError(f"parity: bits is {bits!r}; use 2 to {MOST_BITS}.")
    return _drawn(f"parity{bits}", bits, task.get("samples", 10_000), seed)


def _drawn(name: str, bits: int, n: int, seed: int) -> Samples:
    if type(n) is not int or not 2 <= n <= MOST_SAMPLES:
        raise LoadError(f"{name}: samples is {n!r}; use 2 to {MOST_SAMPLES}.")
    drawn = numpy_rng(seed, "tep_bp", name, "data").integers(0, 2, (n, bits))
    return samples(name, drawn.astype(np.float32), drawn.sum(axis=1) % 2, name)
