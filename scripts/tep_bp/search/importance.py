"""Which hyperparameters matter for reaching the best tenth of the trials: PED-ANOVA."""

import math

import pandas as pd

from scripts.tep_bp.search.ranking import SCORE, scored

FEWEST = 20  # trials: the best tenth is two of them
BEST = 0.1  # share of the trials that is compared with all of them


def importances(results: pd.DataFrame, space: dict, rule: str) -> dict[str, float]:
    """Importance of each hyperparameter that a rule reads, largest first; they sum to 1.

    Optuna's evaluator on the rule's trials: the same numbers as from the exported study. Empty
    for fewer than 20 scored trials, or where ties make the best tenth all of them.
    """
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    from scripts.tep_bp.search.optuna_trials import study_of

    scores = scored(results)[SCORE].sort_values(ascending=False)
    n = len(scores)
    if n < FEWEST or scores.iloc[math.ceil(BEST * n) - 1] == scores.iloc[-1]:
        return {}
    evaluator = PedAnovaImportanceEvaluator(target_quantile=BEST)
    return get_param_importances(study_of(results, space, rule), evaluator=evaluator)
