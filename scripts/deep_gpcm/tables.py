"""All tables of the chapter but the ladder (CSV): scores, recovery, ... learning."""

from pathlib import Path

import pandas as pd

from scripts.deep_gpcm.models.irt.partial_credit import Parameters, read_truth
from scripts.deep_gpcm.outcome.curves import categories, convergence, learning
from scripts.deep_gpcm.outcome.recovery import first_fold, fitted, points, recovery
from scripts.deep_gpcm.outcome.rows import finished
from scripts.deep_gpcm.outcome.scores import calibration, confusion, scored_answers, scores
from scripts.deep_gpcm.specs import TablesJob
from scripts.lib.stage import stage
from scripts.lib.table_files import read_metadata, write_frame

READING = ["data", "what", "how"]


def read(paths: list[Path]) -> pd.DataFrame:
    """All rows of these Parquet files."""
    return pd.concat([pd.read_parquet(path) for path in paths], ignore_index=True)


def truths(students: list[Path], items: list[Path]) -> dict[str, Parameters | None]:
    """True parameters by data set, which is the name of the files' folder; None if not known."""
    items = {path.parent.name: path for path in items}
    return {path.parent.name: read_truth(items[path.parent.name], path) for path in students}


def reading(runs: pd.DataFrame, read: dict[str, dict[str, str]], data: list[str]) -> pd.DataFrame:
    """How each data set was read, and with how many nodes classical models integrate abilities.

    `read`: phrases by data set and what they are about. Columns data, what, how.
    """
    rows = [(name, what, how) for name in data for what, how in read.get(name, {}).items()]
    known = runs.dropna(subset="nodes") if "nodes" in runs else runs.iloc[:0]
    for (name, arm), part in known.groupby(["data", "arm"], sort=False):
        nodes = ", ".join(str(int(count)) for count in sorted(part["nodes"].unique()))
        rows.append((name, f"quadrature nodes of {arm}", nodes))
    return pd.DataFrame(rows, columns=READING)


def tables(
    spec: TablesJob,
    runs: pd.DataFrame,
    predictions: pd.DataFrame,
    estimates: pd.DataFrame,
    histories: pd.DataFrame,
    truth: dict[str, Parameters | None],
    read: dict[str, dict[str, str]],
) -> dict[str, pd.DataFrame]:
    """All tables by name; `read`: how each data set was read."""
    told = reading(runs, read, spec.data)
    rows, predictions, estimates, histories = (
        finished(table, runs, spec.data) for table in (runs, predictions, estimates, histories)
    )
    roles = {name: getattr(spec, name) for name in ("result", "classical", "ceiling")}
    both = [spec.result, spec.classical]
    answers = scored_answers(predictions)
    units = list(fitted(predictions, estimates, truth, spec.knowing))
    shown = first_fold(units, both)
    return {
        "scores": scores(rows, answers, roles),
        "recovery": recovery(units),
        "points": points(shown),
        "calibration": calibration(answers, [*both, spec.shares, spec.reference]),
        "confusion": confusion(answers, both),
        "convergence": convergence(predictions, truth, list(roles.values())),
        "categories": categories(shown),
        "learning": learning(histories, spec.reference),
        "reading": told,
    }


def main(
    spec: TablesJob, runs: Path, predictions: list[Path], estimates: list[Path],
    histories: list[Path], students: list[Path], item_tables: list[Path], written: list[Path],
) -> None:  # fmt: skip
    rows = [read(paths) for paths in (predictions, estimates, histories)]
    told = {path.parent.name: read_metadata(path).get("reading", {}) for path in item_tables}
    found = tables(spec, pd.read_parquet(runs), *rows, truths(students, item_tables), told)
    for path in written:
        write_frame(path, found[path.stem])


if __name__ == "__main__":
    stage(main)
