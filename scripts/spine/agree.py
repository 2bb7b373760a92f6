"""Does each arm give the reference's answer? agreement.csv: one row per arm and metric.

Columns: arm, level, where, metric, test (close, mostly, at_most, equivalent, not_worse, reported),
n_pairs, difference, mcse, low, high (90 %), margin, passed (empty for `reported`), note.
Differences are arm minus reference on the same unit; those of `equivalent` and `not_worse` are
divided by the mean of the reference over the unit's cell (all axes but the last, the replicate).
"""

from pathlib import Path

import pandas as pd

from scripts.lib.agreement import agree
from scripts.lib.stage import arguments
from scripts.lib.tables import write_csv

if __name__ == "__main__":
    args = arguments(runs=Path, agreement=Path)
    runs = pd.read_parquet(args.runs)
    ran = [arm for arm in args.spec["arms"] if arm in set(runs["arm"])]
    write_csv(args.agreement, [row for arm in ran for row in agree(runs, arm, args.spec)])
