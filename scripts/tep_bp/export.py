"""The search as an Optuna storage, one study per rule, for Optuna's plots and its dashboard."""

from pathlib import Path

import pandas as pd

from scripts.lib.stage import arguments
from scripts.tep_bp.search.export import export


def searched(spec: dict, runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Rows of each rule by the result arm, of the stage whose trials are ranked."""
    found = runs[(runs["arm"] == spec["arm"]) & (runs["stage"] == spec["stage"])]
    return {rule: found[found["rule"] == rule] for rule in spec["rules"]}


if __name__ == "__main__":
    args = arguments(runs=Path, storage=Path)
    export(args.storage, searched(args.spec, pd.read_parquet(args.runs)), args.spec["space"])
