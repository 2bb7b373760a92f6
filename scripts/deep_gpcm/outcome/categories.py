"""Category response curves: how likely each category of an item is at each ability."""

import numpy as np
import pandas as pd

from scripts.deep_gpcm.irt.model import log_p
from scripts.deep_gpcm.irt.parameters import Parameters
from scripts.deep_gpcm.outcome.recovery import Fitted, on_truth
from scripts.deep_gpcm.outcome.units import together

ITEMS = 6
GRID = np.linspace(-4, 4, 41)
CATEGORIES = ["data", "arm", "item", "theta", "category", "true", "estimate"]


def spread(difficulty: np.ndarray, known: np.ndarray, count: int = ITEMS) -> np.ndarray:
    """Rows of `count` items, evenly spaced in the order of difficulty (Q,); only `known` ones.

    All of them where there are fewer.
    """
    order = np.argsort(difficulty, kind="stable")
    order = order[known[order]]
    count = min(count, len(order))
    return order[np.linspace(0, len(order) - 1, count).round().astype(int)] if count else order


def curves(parameters: Parameters, levels: np.ndarray) -> np.ndarray:
    """Probability (abilities, Q, K) of each category; NaN where a parameter is."""
    return np.exp(log_p(GRID, parameters.alpha, parameters.beta, levels))


def categories(units: list[Fitted]) -> pd.DataFrame:
    """True and estimated probability of each category of six items of each data set with truth.

    `units`: one per arm and data set. Estimates are linked to the true scale; difficulty is the
    mean of an item's true thresholds. Only items whose slope all units estimated.
    """
    parts = []
    for data in dict.fromkeys(one.data for one in units):
        here = [one for one in units if one.data == data]
        true = here[0].truth
        has = ~np.isnan(true.beta)
        levels = 1 + has.sum(axis=1)
        known = np.all([~np.isnan(one.estimates.alpha) for one in here], axis=0)
        items = spread(np.nansum(true.beta, axis=1) / np.maximum(1, has.sum(axis=1)), known)
        truth = curves(true, levels)[:, items]
        theta, item, category = np.meshgrid(GRID, items, np.arange(truth.shape[2]), indexing="ij")
        real = category < levels[item]
        for one in here:
            estimate = curves(on_truth(one)[0], levels)[:, items]
            grids = (item + 1, theta, category, truth, estimate)
            columns = (data, one.arm, *(grid[real] for grid in grids))
            parts.append(pd.DataFrame(dict(zip(CATEGORIES, columns, strict=True))))
    return together(parts, CATEGORIES)
