"""Bayesian search in rounds: each asks for n trials, knowing the results of all before it."""

import numpy as np
import pandas as pd

from scripts.lib.seeds import stream
from scripts.lib.tables import ContractError
from scripts.tep_bp.search.plan import numbered, trials
from scripts.tep_bp.search.space import DIMENSIONS, check_space


def propose(
    results: pd.DataFrame | None, round: int, n: int, space: dict, study_seed: int, rule: str
) -> pd.DataFrame:
    """Trials round * n to round * n + n - 1 of a rule, as a plan (spec 6.5).

    Round 0 is the Sobol plan, which all rules share; the others are what Optuna's TPE asks for,
    given the `results` of all earlier rounds (columns of a plan, status, val_accuracy, val_loss).
    A hyperparameter that the rule does not read is the first of the space. Random: TPE's draws,
    by the stream (study_seed, "tep_bp", "rounds", round); equal results in any order of rows give
    equal trials. Raises ConfigError, and ContractError if earlier results are not all there.
    """
    if round == 0:
        return trials(space, "sobol", n, study_seed)
    check_space(space)
    if results is None or sorted(results["trial"]) != list(range(round * n)):
        raise ContractError(f"Round {round} needs the results of the trials 0 to {round * n - 1}.")
    asked = _ask(results, round, n, space, study_seed, rule)
    chosen = {key: [params.get(key, space[key][0]) for params in asked] for key in DIMENSIONS}
    return numbered(chosen, range(round * n, round * n + n), study_seed)


def _ask(
    results: pd.DataFrame, round: int, n: int, space: dict, study_seed: int, rule: str
) -> list[dict]:
    from optuna.samplers import TPESampler

    from scripts.tep_bp.search.optuna_trials import distributions, study_of

    words = stream(study_seed, "tep_bp", "rounds", round).generate_state(1, np.uint32)
    study = study_of(results, space, rule, TPESampler(seed=int(words[0])))
    return [study.ask(distributions(space, rule)).params for _ in range(n)]
