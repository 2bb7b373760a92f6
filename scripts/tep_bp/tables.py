"""Tables of the outcome (CSV): anytime, budgets, robustness, ... economy."""

import json
from pathlib import Path

import pandas as pd

from scripts.lib.stage import stage
from scripts.lib.table_files import write_frame
from scripts.tep_bp.outcome.ablation import ablation_rows, by_batch, legacy
from scripts.tep_bp.outcome.anytime import budgets, curves, thinned
from scripts.tep_bp.outcome.distribution import (
    distribution_table,
    heat_table,
    importance_table,
    robustness_table,
)
from scripts.tep_bp.outcome.model_tables import bias, economy, residuals, widths
from scripts.tep_bp.outcome.reevaluation import choice, pairs, repeats
from scripts.tep_bp.outcome.row_selection import (
    beside_rows,
    complete,
    reasons,
    repeat_rows,
    result_rows,
)
from scripts.tep_bp.outcome.sanity import sanity
from scripts.tep_bp.specs import Row, TablesJob


def all_tables(
    spec: TablesJob, runs: pd.DataFrame, gate: Row, gradient: pd.DataFrame
) -> dict[str, pd.DataFrame]:
    """All tables by name; `gate` is what the gate found, empty if there is none.

    `runs` in any order give the same tables. Random: bootstraps, by streams of the seed.
    """
    runs = complete(runs)
    results = result_rows(runs, spec)
    again = [repeat_rows(runs, spec, rounding) for rounding in range(spec.rerounded + 1)]
    beside, ablated = beside_rows(runs, spec), ablation_rows(runs, spec)
    why_not = reasons(results, spec)
    anytime = curves(results, why_not, spec.seed)
    named = {
        "anytime": thinned(anytime),
        "budgets": budgets(anytime, why_not),
        "robustness": robustness_table(results, why_not, spec),
        "distribution": distribution_table(results, why_not),
        "importances": importance_table(results, spec.space),
        "heat": heat_table(results, spec.space),
        "repeats": repeats(again[0], results, spec),
        "pairs": pairs(again, why_not, spec),
        "choice": choice(results, spec),
        "legacy": legacy(ablated),
        "by_batch": by_batch(ablated),
        "residuals": residuals(beside),
        "widths": widths(beside),
        "bias": bias(gradient),
        "economy": economy(gate),
    }
    return named | {"sanity": sanity(spec.band, named)}


def main(spec: TablesJob, runs: Path, gate: list[Path], gradient: Path, tables: list[Path]) -> None:
    verdict = json.loads(gate[0].read_text(encoding="utf-8")) if gate else {}
    named = all_tables(spec, pd.read_parquet(runs), verdict, pd.read_parquet(gradient))
    for path in tables:
        write_frame(path, named[path.stem])


if __name__ == "__main__":
    stage(main)
