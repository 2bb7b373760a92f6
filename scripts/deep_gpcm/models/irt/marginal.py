"""Item parameters of the GPCM by marginal maximum likelihood (Bock and Aitkin 1981).

docs/studies/deep_gpcm.md, Classical model.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy import sparse
from scipy.optimize import minimize
from scipy.special import logsumexp

from scripts.deep_gpcm.data.fold import Sequences
from scripts.deep_gpcm.models.irt.partial_credit import log_p
from scripts.deep_gpcm.models.irt.quadrature import (
    FEWEST,
    MOST,
    finer,
    first_nodes,
    stable,
    standard_normal,
)

LOG_ALPHA_SD, BETA_SD = 0.5, 2.0
GRADIENT = 1e-4
MAX_ITERATIONS = 2000
BLOCK = 2**24  # numbers in a table of items, categories and nodes


@dataclass(frozen=True)
class Fit:
    """alpha (Q,), beta (Q, K - 1; NaN beyond an item's levels) and how they were found.

    `log_likelihood` is the marginal one, without the parameters' priors. `gradient` is the
    largest absolute derivative at the end; `converged` says that it is below 1e-4, and that
    `nodes` of the quadrature were enough.
    """

    alpha: np.ndarray
    beta: np.ndarray
    log_likelihood: float
    iterations: int
    evaluations: int
    gradient: float
    nodes: int
    converged: bool


def answer_counts(answers: Sequences, questions: int, categories: int) -> sparse.csr_array:
    """How often each student gave each answer, (students, Q * K).

    All answers of a student count, also repeated ones and those of other windows. Sparse because
    most answers are never given, and because its products do not depend on BLAS threads.
    """
    _, row = np.unique(np.repeat(answers.student, answers.lengths), return_inverse=True)
    column = (answers.question - 1) * categories + answers.response
    shape = (int(row.max()) + 1, questions * categories)
    return sparse.coo_array((np.ones(len(row)), (row, column)), shape=shape).tocsr()


def _from_above(values: np.ndarray) -> np.ndarray:
    """Sums over the categories h..K-1 for h = 1..K-1: (Q, K) -> (Q, K - 1)."""
    return values[:, :0:-1].cumsum(axis=1)[:, ::-1]


def unpacked(x: np.ndarray, questions: int) -> tuple[np.ndarray, np.ndarray]:
    """log alpha (Q,) and beta (Q, K - 1) of the optimizer's vector."""
    return x[:questions], x[questions:].reshape(questions, -1)


def log_likelihood(
    x: np.ndarray, counts: sparse.csr_array, levels: np.ndarray, nodes: int = FEWEST
) -> tuple[float, np.ndarray]:
    """Marginal log-likelihood of the answers, in nats, and its gradient by `x`.

    With r the expected count of each item, category and node, and n its sum over categories, the
    derivative by a category's log-odds is r - n p (Fisher's identity). Beside an array of students
    x nodes it needs tables of BLOCK numbers: many items take their nodes in parts.
    """
    log_alpha, beta = unpacked(x, len(levels))
    alpha = np.exp(log_alpha)
    theta, log_weight = standard_normal(nodes)
    size = max(1, BLOCK // counts.shape[1])
    parts = [slice(start, start + size) for start in range(0, nodes, size)]

    @lru_cache(1)
    def table(part: int) -> np.ndarray:  # (Q, K, nodes of the part)
        return log_p(theta[parts[part]], alpha, beta, levels).transpose(1, 2, 0)

    numbers = range(len(parts))
    seen = [counts @ table(i).reshape(counts.shape[1], -1) for i in numbers]
    joint = np.concatenate(seen, axis=1) + log_weight
    evidence = logsumexp(joint, axis=1)
    posterior = np.exp(joint - evidence[:, None])
    total = moment = 0.0
    for i in numbers:
        expected = (counts.T @ posterior[:, parts[i]]).reshape(table(i).shape)
        residual = expected - np.exp(table(i)) * expected.sum(axis=1, keepdims=True)
        total = total + _from_above(residual.sum(axis=2))
        moment = moment + _from_above((residual * theta[parts[i]]).sum(axis=2))
    by_log_alpha = alpha * (moment - beta * total).sum(axis=1)
    by_beta = -alpha[:, None] * total
    return float(evidence.sum()), np.concatenate([by_log_alpha, by_beta.ravel()])


def fit(answers: Sequences, levels: np.ndarray, nodes: int | None = None) -> Fit:
    """Marginal maximum likelihood with theta ~ N(0, 1) and weak priors, by L-BFGS-B.

    Priors: log alpha ~ N(0, 0.5^2), beta ~ N(0, 2^2); an item that nobody answered stays at
    their modes. levels (Q,) is how many categories each item has. Without `nodes` there are as
    many as the longest log and the categories ask for, and twice as many until that leaves the
    log-likelihood as it is. Nothing is random.
    """
    questions, categories = len(levels), int(levels.max())
    counts = answer_counts(answers, questions, categories)
    if nodes is not None:
        return _maximum(counts, levels, nodes, np.zeros(questions * categories))[0]
    _, student = np.unique(np.repeat(answers.student, answers.lengths), return_inverse=True)
    nodes = first_nodes(student, levels[answers.question - 1])
    found, x = _maximum(counts, levels, nodes, np.zeros(questions * categories))
    while not stable(found.log_likelihood, log_likelihood(x, counts, levels, finer(nodes))[0]):
        nodes = finer(nodes)
        if nodes > MOST:
            return replace(found, converged=False)
        found, x = _maximum(counts, levels, nodes, x)
    return found


def _maximum(
    counts: sparse.csr_array, levels: np.ndarray, nodes: int, start: np.ndarray
) -> tuple[Fit, np.ndarray]:
    """The fit with so many nodes, from a vector of the optimizer, and its vector."""
    questions, categories = len(levels), int(levels.max())
    precision = np.repeat(
        [1 / LOG_ALPHA_SD**2, 1 / BETA_SD**2], [questions, questions * (categories - 1)]
    )

    def loss(x: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = log_likelihood(x, counts, levels, nodes)
        return (precision * x**2).sum() / 2 - value, precision * x - gradient

    found = minimize(
        loss,
        start,
        jac=True,
        method="L-BFGS-B",
        # gtol alone ends it: the loss is a sum over all answers, so its relative change is tiny.
        options={"maxiter": MAX_ITERATIONS, "maxfun": 2 * MAX_ITERATIONS, "maxcor": 30,
                 "ftol": 0.0, "gtol": GRADIENT},
    )  # fmt: skip
    log_alpha, beta = unpacked(found.x, questions)
    absent = np.arange(1, categories) >= levels[:, None]
    largest = float(np.abs(found.jac).max())
    fitted = Fit(
        alpha=np.exp(log_alpha),
        beta=np.where(absent, np.nan, beta),
        log_likelihood=float((precision * found.x**2).sum() / 2 - found.fun),
        iterations=int(found.nit),
        evaluations=int(found.nfev),
        gradient=largest,
        nodes=nodes,
        converged=largest < GRADIENT,
    )
    return fitted, found.x
