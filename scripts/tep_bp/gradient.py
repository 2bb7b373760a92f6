"""How far the learning rule is from the exact gradient, by strength of the nudge: gradient.parquet.

Columns beta, difference (centred or one_sided), error (relative, of all parameters together) and
cosine; in float64, at fixed points, on a partly trained network (spec 7.1).
"""

from pathlib import Path

import torch

from scripts.lib.stage import arguments
from scripts.lib.tables import write_table
from scripts.tep_bp.task import Task
from scripts.tep_bp.tasks.store import read_task
from scripts.tep_bp.training.bias import biases
from scripts.tep_bp.training.data import data_of


def result(spec: dict, task: Task) -> list[dict]:
    """Rows of the table; spec: trial (its fields), train, solver, betas, steps of the solves."""
    return biases(data_of(task, ("train",), "val"), spec)


if __name__ == "__main__":
    args = arguments(task=Path, threads=int, gradient=Path)
    torch.set_num_threads(args.threads)
    write_table(args.gradient, result(args.spec, read_task(args.task)))
