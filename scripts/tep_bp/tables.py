"""Tables of the outcome (CSV): anytime, budgets, robustness, ... economy.

A table without rows still has its header, so that readers can open it.
"""

import json
from pathlib import Path

import pandas as pd

from scripts.lib.files import replacing
from scripts.lib.stage import arguments
from scripts.tep_bp.outcome.ablation import ablation_rows, by_batch, legacy
from scripts.tep_bp.outcome.anytime import budgets, curves, thinned
from scripts.tep_bp.outcome.distribution import (
    distribution_table,
    heat_table,
    importance_table,
    robustness_table,
)
from scripts.tep_bp.outcome.model_tables import bias, economy, residuals, widths
from scripts.tep_bp.outcome.reevaluation import pairs, repeats
from scripts.tep_bp.outcome.row_selection import (
    beside_rows,
    complete,
    reasons,
    repeat_rows,
    result_rows,
)
from scripts.tep_bp.outcome.sanity import sanity


def tables(
    spec: dict, runs: pd.DataFrame, gate: dict, gradient: pd.DataFrame
) -> dict[str, pd.DataFrame]:
    """All tables by name. spec: arm, rules, legacy, stage, trials, repeats, top, space, seed, band.

    `runs` in any order give the same tables. Random: bootstraps, by streams of the seed.
    """
    runs = complete(runs)
    results, again = result_rows(runs, spec), repeat_rows(runs, spec)
    beside, ablated = beside_rows(runs, spec), ablation_rows(runs, spec)
    why_not = reasons(results, spec)
    anytime = curves(results, why_not, spec["seed"])
    named = {
        "anytime": thinned(anytime),
        "budgets": budgets(anytime, why_not),
        "robustness": robustness_table(results, why_not, spec),
        "distribution": distribution_table(results, why_not),
        "importances": importance_table(results, spec["space"]),
        "heat": heat_table(results, spec["space"]),
        "repeats": repeats(again, results, spec),
        "pairs": pairs(again, why_not, spec),
        "legacy": legacy(ablated),
        "by_batch": by_batch(ablated),
        "residuals": residuals(beside),
        "widths": widths(beside),
        "bias": bias(gradient),
        "economy": economy(gate),
    }
    return named | {"sanity": sanity(spec["band"], named)}


if __name__ == "__main__":
    args = arguments(runs=Path, gate=[Path], gradient=Path, tables=[Path])
    gate = json.loads(args.gate[0].read_text(encoding="utf-8")) if args.gate else {}
    named = tables(args.spec, pd.read_parquet(args.runs), gate, pd.read_parquet(args.gradient))
    for path in args.tables:
        with replacing(path) as temporary:
            named[path.stem].to_csv(temporary, index=False)
