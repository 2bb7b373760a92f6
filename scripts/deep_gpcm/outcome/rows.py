"""Rows of finished units, in one order whatever the order of the files that they come from."""

from collections.abc import Iterable

import pandas as pd

KEY = ["data", "arm", "fold"]
WITHIN = ["student_id", "t", "question_id", "epoch"]


def finished(table: pd.DataFrame, runs: pd.DataFrame, data: list[str]) -> pd.DataFrame:
    """Rows of `table` whose unit is `ok` in `runs` and whose data set is in `data`, sorted.

    Columns data and arm become categorical: data sets in the order of `data`, arms in that of the
    runs. A unit that diverged or failed may have written numbers; none of them is used.
    """
    done = runs.loc[runs["status"] == "ok", KEY]
    levels = {"data": data, "arm": list(runs["arm"].unique())}
    rows = table.merge(done, on=KEY, validate="many_to_one")
    rows = rows[rows["data"].isin(data)]
    rows = rows.astype({name: pd.CategoricalDtype(level) for name, level in levels.items()})
    order = [*KEY, *(name for name in WITHIN if name in rows)]
    return rows.sort_values(order, kind="stable", ignore_index=True)


def chosen(rows: pd.DataFrame, arms: Iterable[str]) -> pd.DataFrame:
    """Rows of these arms, which are categories in the given order from then on."""
    arms = list(dict.fromkeys(arms))
    rows = rows[rows["arm"].isin(arms)]
    return rows.assign(arm=rows["arm"].cat.set_categories(arms))


def shared(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of the folds that all arms of their data set have: only there may arms be compared."""
    arms = rows.groupby("data", observed=True)["arm"].transform("nunique")
    present = rows.groupby(["data", "fold"], observed=True)["arm"].transform("nunique")
    return rows[present == arms]
