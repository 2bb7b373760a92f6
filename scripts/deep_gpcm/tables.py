"""All tables of the chapter but the ladder (CSV): scores, recovery, ... learning.

A table without rows still has its header, so that readers can open it.
"""

from pathlib import Path

import pandas as pd

from scripts.deep_gpcm.models.irt.partial_credit import Parameters, read_truth
from scripts.deep_gpcm.outcome.curves import REFERENCE, categories, convergence, learning
from scripts.deep_gpcm.outcome.recovery import first_fold, fitted, points, recovery
from scripts.deep_gpcm.outcome.rows import finished
from scripts.deep_gpcm.outcome.scores import calibration, confusion, scored_answers, scores
from scripts.lib.files import replacing
from scripts.lib.stage import arguments

TABLES = (
    *("scores", "recovery", "points", "calibration", "confusion", "convergence", "categories"),
    "learning",
)


def read(paths: list[Path]) -> pd.DataFrame:
    """All rows of these Parquet files."""
    return pd.concat([pd.read_parquet(path) for path in paths], ignore_index=True)


def truths(students: list[Path], items: list[Path]) -> dict[str, Parameters | None]:
    """True parameters by data set, which is the name of the files' folder; None if not known."""
    items = {path.parent.name: path for path in items}
    return {path.parent.name: read_truth(items[path.parent.name], path) for path in students}


def tables(
    spec: dict,
    runs: pd.DataFrame,
    predictions: pd.DataFrame,
    estimates: pd.DataFrame,
    histories: pd.DataFrame,
    truth: dict[str, Parameters | None],
) -> dict[str, pd.DataFrame]:
    """All tables by name. spec: result `arm`, `classical` and `ceiling` arms, names of `data`."""
    rows, predictions, estimates, histories = (
        finished(table, runs, spec["data"]) for table in (runs, predictions, estimates, histories)
    )
    roles = {"result": spec["arm"], "classical": spec["classical"], "ceiling": spec["ceiling"]}
    both = [spec["arm"], spec["classical"]]
    answers, units = scored_answers(predictions), list(fitted(predictions, estimates, truth))
    shown = first_fold(units, both)
    return {
        "scores": scores(rows, answers, roles),
        "recovery": recovery(units),
        "points": points(shown),
        "calibration": calibration(answers, [*both, "item_marginal", REFERENCE]),
        "confusion": confusion(answers, both),
        "convergence": convergence(predictions, truth, list(roles.values())),
        "categories": categories(shown),
        "learning": learning(histories),
    }


if __name__ == "__main__":
    inputs = ("predictions", "estimates", "histories")
    flags = {name: [Path] for name in (*inputs, "students", "items")} | dict.fromkeys(TABLES, Path)
    args = arguments(runs=Path, **flags)
    rows = [read(getattr(args, name)) for name in inputs]
    truth = truths(args.students, args.items)
    written = tables(args.spec, pd.read_parquet(args.runs), *rows, truth)
    for name, table in written.items():
        with replacing(getattr(args, name)) as temporary:
            table.to_csv(temporary, index=False)
