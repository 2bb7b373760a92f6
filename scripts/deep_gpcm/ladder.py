"""Cost of a training step by implementation, next to its distance from the reference (CSV)."""

from pathlib import Path

import pandas as pd

from scripts.deep_gpcm.outcome import step_costs
from scripts.deep_gpcm.specs import LadderJob
from scripts.lib.stage import stage
from scripts.lib.table_files import read_frame, write_frame


def main(
    spec: LadderJob, measurements: Path, agreement: Path, losses: list[Path], ladder: Path
) -> None:
    steps = pd.concat([pd.read_parquet(path) for path in losses], ignore_index=True)
    measured, agreed = pd.read_parquet(measurements), read_frame(agreement)
    write_frame(ladder, step_costs.ladder(measured, agreed, steps, spec))


if __name__ == "__main__":
    stage(main)
