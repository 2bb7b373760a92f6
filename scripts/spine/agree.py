"""Does each arm give the reference's answer? agreement.csv: one row per arm and metric.

Columns: arm, level, where, metric, test (counted, accurate, close, at_most, equivalent, not_worse,
not_better, reported), n_pairs, difference, mcse, low, high (90 %), margin, passed (empty for
`reported` and for what is undecided), note.
Differences are arm minus reference on the same unit; those of `equivalent`, `not_worse` and
`not_better` are divided by the mean of the reference over the unit's cell (all axes but the last,
the replicate).
"""

from pathlib import Path

import pandas as pd

from scripts.lib.agreement import Declared, agree
from scripts.lib.stage import stage
from scripts.lib.table_files import write_csv


def main(spec: Declared, runs: Path, agreement: Path) -> None:
    table = pd.read_parquet(runs)
    ran = [arm for arm in spec.arms if arm in set(table["arm"])]
    write_csv(agreement, [row for arm in ran for row in agree(table, arm, spec)])


if __name__ == "__main__":
    stage(main)
