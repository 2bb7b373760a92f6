"""Train some trials of a plan by one implementation of one learning rule.

Writes runs/{arm}/{block}.parquet, a row a trial. Where the solver is `gated`, it is the one that
gate.json names. Finished trials are kept under units/ and reused by a job that needs them again.
"""

from pathlib import Path

import pandas as pd
import torch

from scripts.lib.code import stamps
from scripts.lib.stage import arguments
from scripts.lib.tables import write_runs
from scripts.lib.units import unit_folder
from scripts.tep_bp.data.store import Task, read_task
from scripts.tep_bp.names import AXES
from scripts.tep_bp.plans.sampling import as_trials
from scripts.tep_bp.unit import chosen_solver, decisive, rows

OF_REPEATS = ("chosen", "rank", "repeat")


def own_rows(plan: pd.DataFrame, spec: dict) -> pd.DataFrame:
    """The job's rows of a plan: of those with hidden at most `widest`, `count` from `start` on."""
    fitting = plan[plan["hidden"] <= (spec["widest"] or plan["hidden"].max())]
    return fitting.sort_values("trial").iloc[spec["start"] : spec["start"] + spec["count"]]


def result(
    spec: dict, plan: pd.DataFrame, task: Task, gates: list[Path], units: Path | None = None
) -> list[dict]:
    """Run rows of the job, with what the plan says of repeats; finished trials are in `units`."""
    own, spec = own_rows(plan, spec), chosen_solver(spec, gates)
    store = None
    if units:
        code, threads = stamps("scripts/tep_bp/train.py"), torch.get_num_threads()
        store = unit_folder(units, decisive(spec), code, threads)
    found = rows(spec, as_trials(own, spec["rule"]), task, store)
    extra = own[[name for name in OF_REPEATS if name in own]].to_dict("records")
    return [row | labels for row, labels in zip(found, extra, strict=True)]


if __name__ == "__main__":
    args = arguments(task=Path, plan=Path, gates=[Path], units=Path, threads=int, runs=Path)
    torch.set_num_threads(args.threads)
    plan, task = pd.read_parquet(args.plan), read_task(args.task)
    found = result(args.spec, plan, task, args.gates, args.units)
    write_runs(args.runs, found, AXES, spec=args.spec)
