"""Train some trials of a plan by one implementation of one learning rule.

Writes runs/{arm}/{block}.parquet, a row a trial. Where the solver is `gated`, it is the one that
gate.json names. Finished trials are kept under units/ and reused by a job that needs them again.
"""

from pathlib import Path

import pandas as pd

from scripts.lib.run_rows import write_runs
from scripts.lib.stage import stage
from scripts.tep_bp.data.store import Task, read_task
from scripts.tep_bp.plans.sampling import as_trials
from scripts.tep_bp.specs import AXES, PlanRows, Row, TrainJob
from scripts.tep_bp.unit import rows, solved

OF_REPEATS = ("chosen", "rank", "repeat")


def own_rows(plan: pd.DataFrame, chosen: PlanRows) -> pd.DataFrame:
    """The job's rows of a plan, in order of trial."""
    fitting = plan[plan["hidden"] <= (chosen.widest or plan["hidden"].max())]
    return fitting.sort_values("trial").iloc[chosen.start : chosen.start + chosen.count]


def result(job: TrainJob, plan: pd.DataFrame, task: Task, gates: list[Path]) -> list[Row]:
    """Run rows of the job, with what the plan says of repeats."""
    own = own_rows(plan, job.rows)
    found = rows(solved(job, gates), as_trials(own, job.rule), task)
    extra = own[[name for name in OF_REPEATS if name in own]].to_dict("records")
    return [row | labels for row, labels in zip(found, extra, strict=True)]


def main(spec: TrainJob, task: Path, plan: Path, gate: list[Path], runs: Path) -> None:
    write_runs(runs, result(spec, pd.read_parquet(plan), read_task(task), gate), AXES)


if __name__ == "__main__":
    stage(main)
