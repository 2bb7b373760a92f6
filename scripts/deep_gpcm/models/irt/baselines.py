"""Simple and classical models of the answers, and the best that any model could do.

`majority`, `item_marginal`, `gpcm` and its peers learn from the training and the validation
students: they choose nothing on the validation students, so holding these out would only waste
answers.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from scripts.deep_gpcm.data.fold import Fold, Sequences
from scripts.deep_gpcm.models.irt.marginal import fit
from scripts.deep_gpcm.models.irt.partial_credit import Parameters, log_p, trace
from scripts.lib.implementations import implementation, implementations


class TruthMissing(ValueError):
    """An arm needs true parameters that the data do not come with."""


@dataclass(frozen=True)
class Learned:
    """A model ready to predict.

    `predict(test)` gives the probability (n, K) of each category of each answer, given the
    student's earlier ones, and the ability (n,) that it rests on, or None. alpha (Q,) and
    beta (Q, K - 1) are None in arms that have none; counters are columns of the run row.
    """

    predict: Callable[[Sequences], tuple[np.ndarray, np.ndarray | None]]
    alpha: np.ndarray | None = None
    beta: np.ndarray | None = None
    counters: dict[str, float] = field(default_factory=dict)
    converged: bool = True


def learn(baseline: str, fold: Fold, truth: Parameters | None) -> Learned:
    """The model of this name, ready to predict."""
    return implementations(__name__)[baseline](fold, truth)


def learned_from(fold: Fold) -> Sequences:
    """The training and validation students of a fold, one after the other."""
    parts = [fold.parts["train"], fold.parts["val"]]
    names = ("student", "lengths", "question", "response")
    return Sequences(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


@implementation
def majority(fold: Fold, truth: Parameters | None) -> Learned:
    """The share of each category among all answers, whatever the question."""
    share = np.bincount(learned_from(fold).response, minlength=fold.categories).astype(float)
    share /= share.sum()
    return Learned(lambda test: (np.tile(share, (len(test.question), 1)), None))


@implementation
def item_marginal(fold: Fold, truth: Parameters | None) -> Learned:
    """The share of each category among the answers to the question, one added per category."""
    answers = learned_from(fold)
    count = (np.arange(fold.categories) < fold.levels[:, None]).astype(float)
    np.add.at(count, (answers.question - 1, answers.response), 1)
    share = count / count.sum(axis=1, keepdims=True)
    return Learned(lambda test: (share[test.question - 1], None))


@implementation
def gpcm(fold: Fold, truth: Parameters | None) -> Learned:
    """GPCM by marginal maximum likelihood, then sequential EAP of each test student.

    All is NaN if the fit did not converge, so that nobody uses it by mistake.
    """
    found = fit(learned_from(fold), fold.levels)
    usable = 1.0 if found.converged else np.nan
    names = ("log_likelihood", "iterations", "evaluations", "gradient", "nodes")

    def predict(test: Sequences) -> tuple[np.ndarray, np.ndarray]:
        probability, theta = trace(test, found.alpha, found.beta, fold.levels)
        return usable * probability, usable * theta

    return Learned(
        predict,
        usable * found.alpha,
        usable * found.beta,
        {name: getattr(found, name) for name in names},
        found.converged,
    )


@implementation
def girth(fold: Fold, truth: Parameters | None) -> Learned:
    """The items by the package girth; then as `gpcm`."""
    from scripts.deep_gpcm.models.irt.peers import fit_girth

    return _with_items(fold, *fit_girth(learned_from(fold), fold.levels))


@implementation
def irtorch(fold: Fold, truth: Parameters | None) -> Learned:
    """The items by the package irtorch; then as `gpcm`."""
    from scripts.deep_gpcm.models.irt.peers import fit_irtorch

    return _with_items(fold, *fit_irtorch(learned_from(fold), fold.levels))


def _with_items(fold: Fold, alpha: np.ndarray, beta: np.ndarray) -> Learned:
    return Learned(lambda test: trace(test, alpha, beta, fold.levels), alpha, beta)


@implementation
def bayes(fold: Fold, truth: Parameters | None) -> Learned:
    """Sequential Bayes under the true items and ability prior: no causal predictor has less NLL.

    Raises TruthMissing where the true parameters are not known.
    """
    known = _known(truth)
    return Learned(
        lambda test: trace(test, known.alpha, known.beta, fold.levels), known.alpha, known.beta
    )


@implementation
def oracle(fold: Fold, truth: Parameters | None) -> Learned:
    """The true ability too: what remains is chance. Raises TruthMissing as `bayes` does."""
    known = _known(truth)

    def predict(test: Sequences) -> tuple[np.ndarray, np.ndarray]:
        theta = known.theta_of(test.student)
        table = np.exp(log_p(theta, known.alpha, known.beta, fold.levels))
        sequence = np.repeat(np.arange(len(theta)), test.lengths)
        return table[sequence, test.question - 1], theta[sequence]

    return Learned(predict, known.alpha, known.beta)


def _known(truth: Parameters | None) -> Parameters:
    if truth is None:
        raise TruthMissing("arms bayes and oracle need the true parameters of students and items.")
    return truth
