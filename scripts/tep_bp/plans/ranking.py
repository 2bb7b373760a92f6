"""The order of trials: by validation accuracy at the last epoch, then loss, then number.

And the choice of the best, by a score that is shrunk towards the trial's neighbours
(docs/studies/tep_bp.md, Score of a trial, Choice of the best).
"""

import numpy as np
import pandas as pd
from scipy import special

from scripts.tep_bp.plans.space import RANGES, Space, searched

SCORE, LOSS = "val_accuracy", "val_loss"
LATE, LATE_HITS, SHRUNKEN = "late_accuracy", "late_hits", "shrunken_accuracy"
# Of the surface of log odds over the space, whose dimensions are scaled to 1: how far it is alike
# along lr and along others, its variance, and that of what a trial departs from it.
ALIKE_LR, ALIKE, SURFACE, OWN = 0.3, 2.0, 2.0, 0.05
MOST = 2000  # trials that are pooled, the best by their own late accuracy


def scored(results: pd.DataFrame, score: str = SCORE) -> pd.DataFrame:
    """Rows that have a score: a trial that diverged has its real one, a failed trial has none."""
    return results[(results["status"] != "failed") & results[score].notna()]


def ranked(results: pd.DataFrame) -> pd.DataFrame:
    """Scored trials of one rule, best first (docs/studies/tep_bp.md, Score of a trial).

    `results` has trial, status, val_accuracy, val_loss; a loss that is NaN is the worst.
    """
    return scored(results).sort_values(
        [SCORE, LOSS, "trial"], ascending=[False, True, True], na_position="last"
    )


def top(results: pd.DataFrame, k: int) -> pd.DataFrame:
    """The best k trials, best first; fewer where fewer have a score."""
    return ranked(results).head(k)


def chosen(results: pd.DataFrame, k: int, space: Space, rule: str) -> pd.DataFrame:
    """The best k trials of a rule by `shrunken_accuracy`, best first; fewer where fewer have one.

    `results` has the columns of a plan, status, late_accuracy and late_hits. Ties by number.
    """
    pooled = _pooled(results)
    if pooled.empty:
        return pooled.assign(**{SHRUNKEN: []})
    rates = pooled[LATE].to_numpy(float)[:, None]
    samples = len(pooled[LATE_HITS].iloc[0])
    pooled[SHRUNKEN] = shrunken(pooled, rates, samples, space, rule)[:, 0]
    return pooled.sort_values([SHRUNKEN, "trial"], ascending=[False, True]).head(k)


def choices(
    results: pd.DataFrame, k: int, space: Space, rule: str, draws: int, rng: np.random.Generator
) -> np.ndarray:
    """The best k trials on resampled validation samples, numbers (draws, k), best first.

    Random: which samples a draw has, by `rng`.
    """
    pooled = _pooled(results)
    hits = np.stack(pooled[LATE_HITS].to_list())  # (N, M)
    samples = hits.shape[1]
    counts = rng.multinomial(samples, np.full(samples, 1 / samples), draws)
    scores = shrunken(pooled, hits @ counts.T / samples, samples, space, rule)
    order = np.argsort(-scores, axis=0, kind="stable")[:k]
    return pooled["trial"].to_numpy()[order].T


def shrunken(
    trials: pd.DataFrame, rates: np.ndarray, samples: int, space: Space, rule: str
) -> np.ndarray:
    """Accuracies (N, R) of N trials shrunk towards those of trials like them.

    Posterior mean of a smooth surface over the space (a Gaussian process of log odds), measured
    with the binomial error of so many samples and with what is a trial's own. Every column is
    taken by itself, with the weights of the mean rates.
    """
    places = np.column_stack([_place(trials[key], key, space) for key in searched(rule)])
    alike = np.array([ALIKE_LR if key == "lr" else ALIKE for key in searched(rule)])
    apart = ((places[:, None] - places[None]) / alike) ** 2
    surface = SURFACE * np.exp(-apart.sum(-1) / 2)
    rates = (rates * samples + 0.5) / (samples + 1)
    mean = rates.mean(1)
    noise = np.diag(1 / (samples * mean * (1 - mean)) + OWN)
    odds = special.logit(rates)
    middle = np.median(odds, axis=0)
    return special.expit(middle + surface @ np.linalg.solve(surface + noise, odds - middle))


def _pooled(results: pd.DataFrame) -> pd.DataFrame:
    """Trials with a late accuracy, at most MOST of them, in order of number."""
    known = scored(results, LATE).sort_values([LATE, "trial"], ascending=[False, True])
    return known.head(MOST).sort_values("trial", ignore_index=True)


def _place(values: pd.Series, key: str, space: Space) -> np.ndarray:
    """Where values of a hyperparameter lie between its lowest (0) and its highest (1)."""
    allowed = space.of(key)
    if key in RANGES:
        low, high = np.log(allowed)
        return (np.log(values.to_numpy(float)) - low) / (high - low)
    order = {value: place for place, value in enumerate(sorted(allowed))}
    return values.map(order).to_numpy(float) / max(1, len(order) - 1)
