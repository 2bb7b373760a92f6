"""Learning curves, and how far each arm's is from the reference's."""

import pandas as pd

from scripts.deep_gpcm.outcome.units import shared

REFERENCE = "reference"
CURVES = ["loss", "val_nll", "val_qwk"]
LEARNING = ["data", "arm", "epoch", "folds", *CURVES, "loss_difference"]


def comparable(histories: pd.DataFrame) -> pd.DataFrame:
    """Rows of folds that all arms have, on data where the reference ran; elsewhere all rows."""
    ran = histories.loc[histories["arm"] == REFERENCE, "data"].unique()
    compared = histories["data"].isin(ran)
    return pd.concat([shared(histories[compared]), histories[~compared]]).sort_index()


def learning(histories: pd.DataFrame) -> pd.DataFrame:
    """A row per data set, arm and epoch: means over folds of loss, val_nll and val_qwk.

    `loss_difference`: the largest |loss - loss of the reference| of a fold at that epoch, missing
    where the reference did not run.
    """
    rows = comparable(histories)
    key = ["data", "fold", "epoch"]
    own = rows.loc[rows["arm"] == REFERENCE, [*key, "loss"]]
    rows = rows.merge(own, on=key, how="left", suffixes=("", "_reference"))
    rows = rows.assign(loss_difference=(rows["loss"] - rows["loss_reference"]).abs())
    groups = rows.groupby(["data", "arm", "epoch"], observed=True)
    means = groups[CURVES].mean().assign(folds=groups.size())
    return means.assign(loss_difference=groups["loss_difference"].max()).reset_index()[LEARNING]
