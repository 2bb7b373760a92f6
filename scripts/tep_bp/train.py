"""Train some trials of a plan by one implementation of one learning rule.

Writes runs/{arm}/{block}.parquet, a row a trial. Where the solver is `gated`, it is the one that
gate.json names. Finished trials are kept under units/ and reused by a job that needs them again.
"""

from operator import itemgetter
from pathlib import Path

from scripts.lib.run_rows import write_runs
from scripts.lib.stage import stage
from scripts.lib.table_files import read_table
from scripts.tep_bp.data.store import Task, read_task
from scripts.tep_bp.plans.space import Trial
from scripts.tep_bp.specs import AXES, PlanRows, Row, TrainJob
from scripts.tep_bp.unit import rows, solved

OF_REPEATS = ("chosen", "rank", "repeat")


def own_rows(plan: list[Row], chosen: PlanRows) -> list[Row]:
    """The job's rows of a plan, in order of trial."""
    fitting = [row for row in plan if chosen.widest is None or row["hidden"] <= chosen.widest]
    return sorted(fitting, key=itemgetter("trial"))[chosen.start : chosen.start + chosen.count]


def result(job: TrainJob, plan: list[Row], task: Task, gates: list[Path]) -> list[Row]:
    """Run rows of the job, with what the plan says of repeats."""
    own = own_rows(plan, job.rows)
    trials = [Trial(job.rule, *(row[name] for name in Trial._fields[1:])) for row in own]
    extra = [{name: row[name] for name in OF_REPEATS if name in row} for row in own]
    return [
        row | labels
        for row, labels in zip(rows(solved(job, gates), trials, task), extra, strict=True)
    ]


def main(spec: TrainJob, task: Path, plan: Path, gate: list[Path], runs: Path) -> None:
    write_runs(runs, result(spec, read_table(plan).to_pylist(), read_task(task), gate), AXES)


if __name__ == "__main__":
    stage(main)
