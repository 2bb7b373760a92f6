"""Write a plan: which trials a stage of the search trains (columns of search.plan.COLUMNS).

`way`: sample the space; ask Optuna, knowing the earlier runs; promote the best of a rung; or repeat
the best of the search with new seeds (further columns chosen, rank, repeat).
"""

from pathlib import Path

import pandas as pd

from scripts.lib.stage import arguments
from scripts.lib.tables import write_table
from scripts.tep_bp.plans.proposals import promoted, propose, repeated
from scripts.tep_bp.plans.ranking import top
from scripts.tep_bp.plans.sampling import COLUMNS, trials


def sample(spec: dict, runs: pd.DataFrame) -> pd.DataFrame:
    """Trials start to end - 1 of the sampled space; earlier runs are not read."""
    plan = trials(spec["space"], spec["sampler"], spec["end"], spec["seed"])
    return plan.iloc[spec["start"] :]


def ask(spec: dict, runs: pd.DataFrame) -> pd.DataFrame:
    """The trials of a round, knowing those of all rounds before it."""
    keys = ("round", "n", "space")
    return propose(runs, *(spec[key] for key in keys), spec["seed"], spec["rule"])


def promote(spec: dict, runs: pd.DataFrame) -> pd.DataFrame:
    """The best trials of the rung before."""
    return promoted(runs, spec["keep"])


def repeat(spec: dict, runs: pd.DataFrame) -> pd.DataFrame:
    """The best trials with new seeds; numbered by rank, then repeat."""
    best = top(runs, spec["top"])[COLUMNS].rename(columns={"trial": "chosen"})
    again = repeated(best.assign(rank=range(len(best))), spec["seeds"], spec["seed"])
    return again.assign(trial=again["rank"] * spec["seeds"] + again["repeat"])


WAYS = {"sample": sample, "ask": ask, "promote": promote, "repeat": repeat}


if __name__ == "__main__":
    args = arguments(runs=[Path], plan=Path)
    runs = [pd.read_parquet(path) for path in args.runs]
    known = pd.concat(runs, ignore_index=True) if runs else pd.DataFrame()
    table = WAYS[args.spec["way"]](args.spec, known)
    write_table(args.plan, table.to_dict("list"))
