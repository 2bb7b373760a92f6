"""The random generator of the source: numpy's legacy one, never its global state."""

import numpy as np

from scripts.lib.faults import LoadError

LARGEST = 2**32 - 1


def legacy_rng(seed: int) -> np.random.RandomState:
    """Mersenne Twister of this seed; LoadError if the seed is too large for it."""
    if not 0 <= seed <= LARGEST:
        raise LoadError(f"The seed is {seed}; the source's generator takes 0 to {LARGEST}.")
    return np.random.RandomState(seed)
