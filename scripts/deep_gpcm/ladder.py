"""Cost of a training step by implementation, next to its distance from the reference (CSV)."""

from pathlib import Path

import pandas as pd

from scripts.deep_gpcm.outcome.ladder import ladder
from scripts.lib.files import replacing
from scripts.lib.stage import arguments

if __name__ == "__main__":
    args = arguments(measurements=Path, agreement=Path, losses=[Path], ladder=Path)
    losses = pd.concat([pd.read_parquet(path) for path in args.losses], ignore_index=True)
    measured, agreement = pd.read_parquet(args.measurements), pd.read_csv(args.agreement)
    table = ladder(measured, agreement, losses, **args.spec)
    with replacing(args.ladder) as temporary:
        table.to_csv(temporary, index=False)
