"""Who trains, who validates and who tests: stratified, and fixed by one seed for all trials."""

import numpy as np

from scripts.lib.faults import LoadError
from scripts.lib.parts import check_parts
from scripts.tep_bp.data.samples import Samples

SHARE = 0.2  # of all samples for the test, and of the others for validation


def split(samples: Samples, seed: int) -> dict[str, np.ndarray]:
    """Sorted row numbers (int64) of train, val and test (docs/studies/tep_bp.md, Data).

    A fifth is the test set, unless the data source has its own, and a fifth of the rest validates:
    digits 1149, 288, 360; MNIST 48000, 12000, 10000. Random: scikit-learn's stratified split,
    seeded by `seed` itself, so that anyone can draw the same. Raises LoadError if a part would
    lack a class.
    """
    rest = np.arange(len(samples.y) - samples.own_test)
    test = np.arange(len(rest), len(samples.y))
    if not samples.own_test:
        rest, test = _halves(samples, rest, seed)
    train, val = _halves(samples, rest, seed)
    parts = {"train": np.sort(train), "val": np.sort(val), "test": np.sort(test)}
    for name, rows in parts.items():
        absent = np.setdiff1d(samples.y, samples.y[rows])
        if absent.size:
            raise LoadError(
                _impossible(
                    samples, f"class {samples.called(absent[0])} would be missing from {name}"
                )
            )
    check_parts(parts, len(samples.y), f"The split of {samples.name}")
    return parts


def _halves(samples: Samples, rows: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.model_selection import train_test_split

    try:
        return tuple(
            train_test_split(rows, test_size=SHARE, stratify=samples.y[rows], random_state=seed)
        )
    except ValueError as error:
        counts = np.bincount(samples.y)
        scarce = f"class {samples.called(counts.argmin())} has {counts.min()}"
        raise LoadError(_impossible(samples, scarce)) from error


def _impossible(samples: Samples, why: str) -> str:
    return (
        f"{samples.name}: {len(samples.y)} samples of {samples.y.max() + 1} classes cannot be "
        f"split into train, val and test ({why}); use more samples of each class."
    )
