"""Chosen configurations again, with new seeds that all rules share (spec 6.2.6)."""

import pandas as pd

from scripts.lib.seeds import seed63, stream


def repeated(chosen: pd.DataFrame, repeats: int, study_seed: int) -> pd.DataFrame:
    """Each row of a plan `repeats` times: column `repeat` from 0, and `seed` replaced.

    The seed is that of (study_seed, "tep_bp", "repeat", repeat), so runs of any two
    configurations pair by `repeat`: same weights where the shapes agree, same order of batches.
    """
    seeds = [seed63(stream(study_seed, "tep_bp", "repeat", repeat)) for repeat in range(repeats)]
    again = pd.DataFrame({"repeat": range(repeats), "seed": seeds})
    return chosen.drop(columns="seed").merge(again, how="cross")[[*chosen.columns, "repeat"]]
