"""Result rows as Optuna's trials, and the studies that hold them."""

from datetime import timedelta
from typing import Any

import optuna
import pandas as pd
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState

from scripts.tep_bp.plans.ranking import LOSS, SCORE, ranked, scored
from scripts.tep_bp.plans.space import RANGES, Space, searched

CURVE = "curve"  # column of validation accuracies after each epoch


def distributions(space: Space, rule: str) -> dict[str, BaseDistribution]:
    """What a rule searches: logarithmic ranges, and lists as unordered values."""
    return {
        key: FloatDistribution(*space.of(key), log=True)
        if key in RANGES
        else CategoricalDistribution(space.of(key))
        for key in searched(rule)
    }


def frozen_trials(results: pd.DataFrame, space: Space, rule: str) -> list[FrozenTrial]:
    """Finished trials in order of trial: COMPLETE with its score, or FAIL.

    Curves are intermediate values (steps are epochs, from 1), every other column with a single
    value is a user attribute. A trial lasts as long as its `cpu_s`.
    """
    known, have_score = distributions(space, rule), set(scored(results)["trial"])
    rows = results.sort_values("trial").to_dict("records")
    return [_frozen(row, known, row["trial"] in have_score) for row in rows]


def _frozen(row: dict[str, Any], known: dict, complete: bool) -> FrozenTrial:
    curve = row.get(CURVE)
    trial = optuna.create_trial(
        state=TrialState.COMPLETE if complete else TrialState.FAIL,
        value=row[SCORE] if complete else None,
        params={key: row[key] for key in known},
        distributions=known,
        intermediate_values={} if curve is None else dict(enumerate(map(float, curve), start=1)),
        user_attrs={
            key: value
            for key, value in row.items()
            if key not in known and pd.api.types.is_scalar(value) and not pd.isna(value)
        },
    )
    spent = row.get("cpu_s", 0.0)
    trial.datetime_complete = trial.datetime_start + timedelta(
        seconds=0.0 if pd.isna(spent) else spent
    )
    return trial


def study_of(
    results: pd.DataFrame,
    space: Space,
    rule: str,
    sampler: optuna.samplers.BaseSampler | None = None,
    storage: optuna.storages.BaseStorage | None = None,
    name: str | None = None,
) -> optuna.Study:
    """A study with the trials of one rule: in memory, unless a storage is given.

    Optuna breaks ties its own way; the user attribute `chosen` is the first that we rank.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        direction="maximize", sampler=sampler, storage=storage, study_name=name
    )
    study.set_user_attr("rule", rule)
    study.set_user_attr("value", SCORE)
    study.set_user_attr("ties", f"by {LOSS}, then trial")
    if len(best := ranked(results)):
        study.set_user_attr("chosen", int(best["trial"].iloc[0]))
    study.add_trials(frozen_trials(results, space, rule))
    return study
