"""Write a plan: which trials a stage of the search trains (columns of plans.sampling.COLUMNS).

The space is sampled; or Optuna is asked, knowing the earlier runs; or the best of a rung are
promoted; or the best of the search repeated with new seeds (further columns chosen, rank, repeat).
"""

from pathlib import Path

import pandas as pd

from scripts.lib.stage import stage
from scripts.lib.table_files import write_table
from scripts.tep_bp.plans.proposals import promoted, propose, repeated
from scripts.tep_bp.plans.ranking import chosen
from scripts.tep_bp.plans.sampling import COLUMNS, trials
from scripts.tep_bp.specs import Ask, Promote, ProposeJob, Repeat, Sample


def proposed(how: Sample | Ask | Promote | Repeat, runs: pd.DataFrame) -> pd.DataFrame:
    """The plan, from the runs that it needs."""
    if isinstance(how, Sample):
        return trials(how.space, how.sampler, how.end, how.seed).iloc[how.start :]
    if isinstance(how, Ask):
        return propose(runs, how.round, how.n, how.space, how.seed, how.rule)
    if isinstance(how, Promote):
        return promoted(runs, how.keep)
    # Numbered by rank, then repeat.
    best = chosen(runs, how.top, how.space, how.rule)[COLUMNS].rename(columns={"trial": "chosen"})
    again = repeated(best.assign(rank=range(len(best))), how.seeds, how.seed)
    return again.assign(trial=again["rank"] * how.seeds + again["repeat"])


def main(spec: ProposeJob, runs: list[Path], plan: Path) -> None:
    tables = [pd.read_parquet(path) for path in runs]
    known = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
    write_table(plan, proposed(spec.plan, known).to_dict("list"))


if __name__ == "__main__":
    stage(main)
