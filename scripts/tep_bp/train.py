"""Train some trials of a plan by one implementation of one learning rule.

Writes runs/{arm}/{block}.parquet, a row a trial. Where the solver is `gated`, it is the one that
gate.json names.
"""

from pathlib import Path

import pandas as pd
import torch

from scripts.lib.stage import arguments
from scripts.lib.tables import write_runs
from scripts.tep_bp.axes import AXES
from scripts.tep_bp.search.plan import as_trials
from scripts.tep_bp.solver import chosen_solver
from scripts.tep_bp.task import Task
from scripts.tep_bp.tasks.store import read_task
from scripts.tep_bp.unit import rows

OF_REPEATS = ("chosen", "rank", "repeat")


def part(plan: pd.DataFrame, spec: dict) -> pd.DataFrame:
    """The job's rows of a plan: of those with hidden at most `widest`, `count` from `start` on."""
    fitting = plan[plan["hidden"] <= (spec["widest"] or plan["hidden"].max())]
    return fitting.sort_values("trial").iloc[spec["start"] : spec["start"] + spec["count"]]


def result(spec: dict, plan: pd.DataFrame, task: Task, gates: list[Path]) -> list[dict]:
    """Run rows of the job, with what the plan says of repeats."""
    mine = part(plan, spec)
    found = rows(chosen_solver(spec, gates), as_trials(mine, spec["rule"]), task)
    extra = mine[[name for name in OF_REPEATS if name in mine]].to_dict("records")
    return [row | labels for row, labels in zip(found, extra, strict=True)]


if __name__ == "__main__":
    args = arguments(task=Path, plan=Path, gates=[Path], threads=int, runs=Path)
    torch.set_num_threads(args.threads)
    made = result(args.spec, pd.read_parquet(args.plan), read_task(args.task), args.gates)
    write_runs(args.runs, made, AXES, spec=args.spec)
