"""Curves: categories by ability, error of the ability by answers, losses by epoch."""

import numpy as np
import pandas as pd

from scripts.deep_gpcm.models.irt.partial_credit import Parameters, log_p
from scripts.deep_gpcm.outcome.recovery import Fitted, last_thetas, mean_sigma, on_truth
from scripts.deep_gpcm.outcome.rows import chosen, shared
from scripts.lib.table_files import together

ITEMS = 6  # of a data set whose curves are shown
GRID = np.linspace(-4, 4, 41)  # abilities
CATEGORIES = ["data", "arm", "item", "theta", "category", "true", "estimate"]
SINGLE, POOLED = 20, 40  # places shown one by one, and steps that the later ones are pooled into
CONVERGENCE = ["data", "arm", "t", "n", "rmse"]
CURVES = ["loss", "val_nll", "val_qwk"]
LEARNING = ["data", "arm", "epoch", "folds", *CURVES, "loss_difference"]


def spread(difficulty: np.ndarray, known: np.ndarray, count: int = ITEMS) -> np.ndarray:
    """Rows of `count` items, evenly spaced in the order of difficulty (Q,); only `known` ones.

    All of them where there are fewer.
    """
    order = np.argsort(difficulty, kind="stable")
    order = order[known[order]]
    count = min(count, len(order))
    return order[np.linspace(0, len(order) - 1, count).round().astype(int)] if count else order


def category_probabilities(parameters: Parameters, levels: np.ndarray) -> np.ndarray:
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
        truth = category_probabilities(true, levels)[:, items]
        theta, item, category = np.meshgrid(GRID, items, np.arange(truth.shape[2]), indexing="ij")
        real = category < levels[item]
        for one in here:
            estimate = category_probabilities(on_truth(one)[0], levels)[:, items]
            grids = (item + 1, theta, category, truth, estimate)
            columns = (data, one.arm, *(grid[real] for grid in grids))
            parts.append(pd.DataFrame(dict(zip(CATEGORIES, columns, strict=True))))
    return together(parts, CATEGORIES)


def steps(t: np.ndarray) -> np.ndarray:
    """The first place of each place's step: itself at first, then steps of equal width."""
    width = max(1, -(-(int(t.max(initial=0)) + 1 - SINGLE) // POOLED))
    return np.where(t < SINGLE, t, SINGLE + (t - SINGLE) // width * width)


def linked_errors(unit: pd.DataFrame, truth: Parameters) -> np.ndarray:
    """Linked theta minus the true theta of each row of a unit; linked by the last thetas."""
    student, theta = last_thetas(unit)
    slope, shift = mean_sigma(theta, truth.theta_of(student))
    true = truth.theta_of(unit["student_id"].to_numpy(np.int64))
    return slope * unit["theta"].to_numpy() + shift - true


def convergence(
    predictions: pd.DataFrame, truths: dict[str, Parameters | None], arms: list[str]
) -> pd.DataFrame:
    """Root mean squared error of theta after t answers, over students of the arms' common folds.

    `t` is the mean place of the `n` rows that are pooled. Only data sets whose truth is known.
    """
    rows = chosen(predictions, arms)
    rows = shared(rows[rows["data"].map(lambda name: truths[name] is not None).astype(bool)])
    parts = []
    for data, part in rows.groupby("data", observed=True):
        step = steps(part["t"].to_numpy(np.int64))
        units = part.groupby(["arm", "fold"], observed=True)
        errors = [pd.Series(linked_errors(unit, truths[data]), unit.index) for _, unit in units]
        part = part.assign(step=step, square=pd.concat(errors) ** 2)
        groups = part.groupby(["arm", "step"], observed=True)
        found = groups.agg(t=("t", "mean"), n=("t", "size"), rmse=("square", "mean"))
        found = found.assign(data=data, rmse=np.sqrt(found["rmse"])).reset_index()
        parts.append(found[CONVERGENCE])
    return together(parts, CONVERGENCE)


def comparable(histories: pd.DataFrame, reference: str) -> pd.DataFrame:
    """Rows of folds that all arms have, on data where the reference ran; elsewhere all rows."""
    ran = histories.loc[histories["arm"] == reference, "data"].unique()
    compared = histories["data"].isin(ran)
    return pd.concat([shared(histories[compared]), histories[~compared]]).sort_index()


def learning(histories: pd.DataFrame, reference: str) -> pd.DataFrame:
    """A row per data set, arm and epoch: means over folds of loss, val_nll and val_qwk.

    `loss_difference`: the largest |loss - loss of the reference| of a fold at that epoch, missing
    where the reference did not run.
    """
    rows = comparable(histories, reference)
    key = ["data", "fold", "epoch"]
    own = rows.loc[rows["arm"] == reference, [*key, "loss"]]
    rows = rows.merge(own, on=key, how="left", suffixes=("", "_reference"))
    rows = rows.assign(loss_difference=(rows["loss"] - rows["loss_reference"]).abs())
    groups = rows.groupby(["data", "arm", "epoch"], observed=True)
    means = groups[CURVES].mean().assign(folds=groups.size())
    return means.assign(loss_difference=groups["loss_difference"].max()).reset_index()[LEARNING]
