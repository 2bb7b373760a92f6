"""Which rows of a table train, and which test: at random, or beyond the support of training."""

import numpy as np

from scripts.regression.sources import Table


def split(
    table: Table, how: str, test_share: float, beyond_share: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers of training and test, in random order.

    `inside`: a random share of all rows tests. `beyond`: the rows with the largest values of the
    covariate `along` test, those that share a value together, and of the others the same random
    share as inside is left out, so that replications differ.
    """
    rows = rng.permutation(len(table.y))
    count = round(len(rows) * (1 - test_share))
    if how == "inside":
        return rows[:count], rows[count:]
    along = table.x[rows, table.along]
    below = along <= np.quantile(along, 1 - beyond_share)
    near = rows[below]
    return near[: round(len(near) * (1 - test_share))], rows[~below]


def standardised(table: Table, train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(mean, standard deviation) of each column of x and y in the rows of training.

    A column that is constant there is centred and not scaled.
    """
    values = np.concatenate([table.x, table.y], axis=1)[train]
    spread = values.std(axis=0, ddof=1)
    return values.mean(axis=0), np.where(spread > 0, spread, 1.0)
