"""Peers: the same classical model by other packages (docs/studies/deep_gpcm.md, Peers).

Both estimate a GPCM by marginal maximum likelihood, theta ~ N(0, 1), without priors, and both take
one answer of a student to a question: the first; later ones are left out. Each takes answers and
levels (Q,) and gives alpha (Q,) and beta (Q, K - 1), where entries beyond an item's levels may be
anything. Nothing is random.
"""

import contextlib
import io
from itertools import pairwise

import numpy as np

from scripts.deep_gpcm.data.fold import Sequences

MISSING = -1
BOUND = 6.0  # of girth's thresholds


def first_answers(answers: Sequences, questions: int) -> np.ndarray:
    """The first response of each student to each question, (students, Q), -1 where there is none.

    A student whose log is cut into windows is one student.
    """
    _, row = np.unique(np.repeat(answers.student, answers.lengths), return_inverse=True)
    found = np.full((int(row.max()) + 1, questions), MISSING)
    # Backwards, so that the first is written last.
    found[row[::-1], answers.question[::-1] - 1] = answers.response[::-1]
    return found


def fit_girth(answers: Sequences, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """By girth: expectation and maximisation, item by item, each by sequential least squares.

    Departs: girth numbers the categories of an item by those that it sees, so `thresholds` fills in
    those that it has not.
    """
    from girth import pcm_mml
    from girth.utilities import INVALID_RESPONSE

    table = first_answers(answers, len(levels))
    coded = np.where(table == MISSING, INVALID_RESPONSE, table)
    found = pcm_mml(coded.T)
    seen = np.stack([(table == level).any(axis=0) for level in range(int(levels.max()))], axis=1)
    return found["Discrimination"], thresholds(found["Difficulty"], seen)


def thresholds(found: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """beta (Q, K - 1) from thresholds between the categories that were seen (Q, K).

    Below and above these they are girth's bounds, -6 and 6; on both sides of an unseen category
    between two others, the one threshold of girth.
    """
    beta = np.empty((len(seen), seen.shape[1] - 1))
    for item, categories in enumerate(seen):
        known = np.flatnonzero(categories)
        beta[item, : known[0]], beta[item, known[-1] :] = -BOUND, BOUND
        for number, (low, high) in enumerate(pairwise(known)):
            beta[item, low:high] = found[item, number]
    return beta


def fit_irtorch(answers: Sequences, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """By irtorch: Adam on all students at once, quadrature at its 15 points.

    Departs: the package prints every epoch; here nothing.
    """
    import torch
    from irtorch.estimation_algorithms import MML
    from irtorch.models import GeneralizedPartialCredit

    table = torch.from_numpy(first_answers(answers, len(levels))).float()
    model = GeneralizedPartialCredit(item_categories=levels.tolist())
    with contextlib.redirect_stdout(io.StringIO()):
        model.fit(train_data=table, algorithm=MML(), device="cpu")
    found = model.item_parameters().to_numpy().astype(float)
    alpha, cumulative = found[:, 0], found[:, 1:]
    beta = -np.diff(cumulative, axis=1) / alpha[:, None]
    beta[np.arange(1, cumulative.shape[1]) >= levels[:, None]] = np.nan
    return alpha, beta
