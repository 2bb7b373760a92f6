"""The sampled plan: points of the search space, drawn once and shared by all rules.

And its rows as trials, in stacks of equal shape (docs/studies/tep_bp.md, Search, Batched training).
"""

import math
from typing import TYPE_CHECKING

import numpy as np

from scripts.lib.seeds import numpy_rng, seed63, stream
from scripts.tep_bp.plans.space import DIMENSIONS, RANGES, Space, Trial

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = list(Trial._fields[1:])  # all but the rule


def trials(space: Space, sampler: str, n: int, study_seed: int) -> "pd.DataFrame":
    """Trials 0 to n - 1: trial, hidden, batch, lr, weight_decay, activation, beta, seed.

    Values of a list have equal shares, lr and beta are log-uniform. More trials leave the first
    ones as they are, and every rule gets the same table, whether it reads `beta` or not. Random:
    the points, by the stream (study_seed, "tep_bp", "plan", sampler); scrambled Sobol points are
    balanced best where n is a power of two.
    """
    rng = numpy_rng(study_seed, "tep_bp", "plan", sampler)
    points = _sobol(n, rng) if sampler == "sobol" else rng.random((n, len(DIMENSIONS)))
    chosen = {
        key: _log_uniform(*space.of(key), column)
        if key in RANGES
        else _listed(space.of(key), column)
        for key, column in zip(DIMENSIONS, points.T, strict=True)
    }
    return numbered(chosen, range(n), study_seed)


def numbered(chosen: dict[str, np.ndarray], ids: range, study_seed: int) -> "pd.DataFrame":
    """A plan of hyperparameters, with the trials' numbers and seeds in standard types.

    The seed is that of (study_seed, "tep_bp", trial): rules share it, and so the order of batches.
    """
    import pandas as pd  # a fifth of a second that jobs which read a plan are spared

    seeds = [seed63(stream(study_seed, "tep_bp", trial)) for trial in ids]
    table = pd.DataFrame({"trial": ids, **chosen, "seed": np.array(seeds, np.int64)})
    whole = dict.fromkeys(("trial", "hidden", "batch"), np.int64)
    return table.astype(whole | dict.fromkeys(("lr", "weight_decay", "beta"), float))[COLUMNS]


def as_trials(table: "pd.DataFrame", rule: str) -> list[Trial]:
    """The rows of a plan as trials of one rule, in order of trial."""
    ordered = table.sort_values("trial")[COLUMNS]
    return [Trial(rule, *row) for row in ordered.itertuples(index=False, name=None)]


def _sobol(n: int, rng: np.random.Generator) -> np.ndarray:
    from scipy.stats import qmc  # which takes longer to import than many a trial to train

    # A power of two is drawn and cut: asked for any other number, SciPy warns.
    points = qmc.Sobol(len(DIMENSIONS), scramble=True, rng=rng)
    return points.random_base2(math.ceil(math.log2(n)))[:n]


def _listed(values: list, points: np.ndarray) -> np.ndarray:
    return np.array(values)[(points * len(values)).astype(int)]


def _log_uniform(low: float, high: float, points: np.ndarray) -> np.ndarray:
    drawn = np.exp(np.log(low) + points * (np.log(high) - np.log(low)))
    return np.clip(drawn, low, high)


def groups(trials: list[Trial]) -> list[list[Trial]]:
    """Trials of equal (hidden, batch), narrow ones first; a group is in order of trial."""
    found: dict[tuple[int, int], list[Trial]] = {}
    for trial in sorted(trials, key=lambda trial: (trial.hidden, trial.batch, trial.trial)):
        found.setdefault((trial.hidden, trial.batch), []).append(trial)
    return list(found.values())


def stacks(trials: list[Trial], elements: int | None) -> list[list[Trial]]:
    """Groups cut so that the states of a stack, trials x batch x hidden, have at most `elements`.

    Larger stacks outgrow the processor's cache; a single trial is a stack whatever its size. None:
    whole groups.
    """
    found = []
    for group in groups(trials):
        most = elements and elements // (group[0].hidden * group[0].batch)
        size = len(group) if most is None else max(1, most)
        found += [group[start : start + size] for start in range(0, len(group), size)]
    return found
