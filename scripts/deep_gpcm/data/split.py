"""Which students train, which stop the training, and which are kept for the test of each fold."""

import math

import numpy as np

from scripts.lib.faults import LoadError
from scripts.lib.parts import rows_of
from scripts.lib.seeds import numpy_rng

LARGEST_SEED = 2**32 - 1


def legacy_rng(seed: int) -> np.random.RandomState:
    """Mersenne Twister of this seed; LoadError if the seed is too large for it."""
    if not 0 <= seed <= LARGEST_SEED:
        raise LoadError(f"The seed is {seed}; the original's generator takes 0 to {LARGEST_SEED}.")
    return np.random.RandomState(seed)


def held_out(students: int, folds: int, seed: int) -> list[np.ndarray]:
    """Codes of the test students of each fold.

    scikit-learn's KFold over students in the order of their codes, shuffled by numpy's legacy
    generator of `seed`; `folds` 0 is the original's single split, whose first 80 % of
    the students train (docs/studies/deep_gpcm.md, Folds). Raises LoadError.
    """
    if folds == 1:
        raise LoadError("One fold leaves nobody to train on; use 2 or more, or 0 for one split.")
    if students < max(folds, 2):
        raise LoadError(
            f"The data have {students} students; a split with folds: {folds} needs "
            f"at least {max(folds, 2)}."
        )
    everybody = np.arange(students)
    if not folds:
        return [everybody[students * 4 // 5 :]]
    from sklearn.model_selection import KFold

    halves = KFold(folds, shuffle=True, random_state=legacy_rng(seed)).split(everybody)
    return [test for _, test in halves]


def parts(students: int, folds: int, validation: float, seed: int, data: str) -> list[np.ndarray]:
    """ "train", "val" or "test" for every student, (S,), per fold.

    `validation` of the training students, rounded down but at least one, are held out of training;
    drawn from the stream (seed, "deep_gpcm", data, fold, "validation"). Raises LoadError.
    """
    found = []
    for fold, test in enumerate(held_out(students, folds, seed)):
        part = np.full(students, "train", object)
        part[test] = "test"
        train = np.flatnonzero(part == "train")
        # Rounded first: 0.29 * 100 is 28.999999999999996.
        stopping = max(1, math.floor(round(validation * len(train), 9)))
        if stopping >= len(train):
            raise LoadError(
                f"Fold {fold} of {data} has {len(train)} students to train and to validate with, "
                f"and {stopping} of them would validate; use more students"
                f"{' or a smaller validation share' if len(train) > 1 else ''}."
            )
        rng = numpy_rng(seed, "deep_gpcm", data, fold, "validation")
        part[rng.choice(train, stopping, replace=False)] = "val"
        rows_of(part, ("train", "val", "test"), f"Fold {fold} of {data}")
        found.append(part)
    return found
