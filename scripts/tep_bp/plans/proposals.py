"""Plans that need earlier results: rounds of Optuna's TPE, successive halving, repeats.

Rounds ask for n trials, knowing the results of all before. Halving trains all a little and the
better ones longer. Repeats train chosen configurations again, with new seeds that all rules share
(docs/studies/tep_bp.md, Search).
"""

import numpy as np
import pandas as pd

from scripts.lib.faults import ContractError
from scripts.lib.seeds import seed63, stream
from scripts.tep_bp.plans.ranking import top
from scripts.tep_bp.plans.sampling import COLUMNS, numbered, trials
from scripts.tep_bp.plans.space import DIMENSIONS, Space


def propose(
    results: pd.DataFrame | None, number: int, n: int, space: Space, study_seed: int, rule: str
) -> pd.DataFrame:
    """Trials number * n to number * n + n - 1 of a rule, as a plan: those of round `number`.

    Round 0 is the Sobol plan, which all rules share; the others are what Optuna's TPE asks for,
    given the `results` of all earlier rounds (columns of a plan, status, val_accuracy, val_loss).
    A hyperparameter that the rule does not read is the first of the space. Random: TPE's draws,
    by the stream (study_seed, "tep_bp", "rounds", number); equal results in any order of rows give
    equal trials. Raises ContractError if earlier results are not all there.
    """
    if number == 0:
        return trials(space, "sobol", n, study_seed)
    if results is None or sorted(results["trial"]) != list(range(number * n)):
        raise ContractError(
            f"Round {number} needs the results of the trials 0 to {number * n - 1}."
        )
    asked = _ask(results, number, n, space, study_seed, rule)
    chosen = {key: [params.get(key, space.of(key)[0]) for params in asked] for key in DIMENSIONS}
    return numbered(chosen, range(number * n, number * n + n), study_seed)


def _ask(
    results: pd.DataFrame, number: int, n: int, space: Space, study_seed: int, rule: str
) -> list[dict]:
    from optuna.samplers import TPESampler

    from scripts.tep_bp.plans.optuna_trials import distributions, study_of

    words = stream(study_seed, "tep_bp", "rounds", number).generate_state(1, np.uint32)
    study = study_of(results, space, rule, TPESampler(seed=int(words[0])))
    return [study.ask(distributions(space, rule)).params for _ in range(n)]


def promoted(results: pd.DataFrame, keep: int) -> pd.DataFrame:
    """The `keep` best trials of a whole rung, as a plan in order of trial.

    `results` has the columns of a plan, and of a ranking. Failed trials are not promoted, so
    there may be fewer. Each trial keeps its number, seed and so the name of its job.
    """
    return top(results, keep).sort_values("trial")[COLUMNS].reset_index(drop=True)


def repeated(chosen: pd.DataFrame, repeats: int, study_seed: int) -> pd.DataFrame:
    """Each row of a plan `repeats` times: column `repeat` from 0, and `seed` replaced.

    The seed is that of (study_seed, "tep_bp", "repeat", repeat), so runs of any two
    configurations pair by `repeat`: same weights where the shapes agree, same order of batches.
    """
    seeds = [seed63(stream(study_seed, "tep_bp", "repeat", repeat)) for repeat in range(repeats)]
    new = pd.DataFrame({"repeat": range(repeats), "seed": seeds})
    return chosen.drop(columns="seed").merge(new, how="cross")[[*chosen.columns, "repeat"]]
