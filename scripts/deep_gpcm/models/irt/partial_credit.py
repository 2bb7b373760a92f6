"""The generalized partial credit model (Muraki 1992): parameters, probabilities, abilities.

docs/studies/deep_gpcm.md, Probabilities and Classical model.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import log_softmax

from scripts.deep_gpcm.data.fold import Sequences
from scripts.deep_gpcm.models.irt.quadrature import (
    MOST,
    finer,
    first_nodes,
    stable,
    standard_normal,
)
from scripts.lib.table_files import read_table


def log_p(theta: np.ndarray, alpha: np.ndarray, beta: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Log-probability (nodes, Q, K) of each category at abilities theta (nodes,).

    alpha (Q,); beta (Q, K - 1), where entries beyond an item's own levels (Q,) may be anything;
    the categories that an item does not have get -inf.
    """
    categories = beta.shape[1] + 1
    z = np.zeros((len(theta), len(alpha), categories))
    np.cumsum(alpha[:, None] * (theta[:, None, None] - beta), axis=2, out=z[..., 1:])
    z[:, np.arange(categories) >= levels[:, None]] = -np.inf
    return log_softmax(z, axis=2)


@dataclass(frozen=True)
class Parameters:
    """theta (S,) of the students with ids `student` (S,); alpha (Q,) and beta (Q, K - 1).

    Question q is row q - 1; beta is NaN beyond an item's levels.
    """

    student: np.ndarray
    theta: np.ndarray
    alpha: np.ndarray
    beta: np.ndarray

    def theta_of(self, student: np.ndarray) -> np.ndarray:
        """theta of these ids, in their order; KeyError names one that is not there."""
        order = np.argsort(self.student)
        place = np.minimum(np.searchsorted(self.student, student, sorter=order), len(order) - 1)
        if wrong := set(student[self.student[order[place]] != student].tolist()):
            raise KeyError(f"no theta is known of student {min(wrong)}")
        return self.theta[order[place]]


def read_truth(items: Path, students: Path) -> Parameters | None:
    """True parameters from the tables of a data set; None where some are not known (NaN, null).

    items: question_id (in order), alpha, beta_1, ...; students: student_id, theta.
    """
    item, student = read_table(items), read_table(students)
    names = [name for name in item.column_names if name.startswith("beta_")]
    truth = Parameters(
        student=student["student_id"].to_numpy().astype(np.int64),
        theta=student["theta"].to_numpy().astype(float),
        alpha=item["alpha"].to_numpy().astype(float),
        beta=np.column_stack([item[name].to_numpy() for name in names]).astype(float),
    )
    unknown = np.isnan(truth.alpha).any() or np.isnan(truth.theta).any()
    return None if unknown else truth


def trace(
    answers: Sequences,
    alpha: np.ndarray,
    beta: np.ndarray,
    levels: np.ndarray,
    nodes: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Probability (n, K) of each category of each answer, and the ability (n,) it rests on.

    Both are given the earlier answers of the same sequence only: the posterior predictive, and
    the posterior mean (EAP, Bock and Mislevy 1982) of theta ~ N(0, 1). A first answer gets the
    prior's. alpha (Q,), beta (Q, K - 1) and levels (Q,) of the items. Without `nodes` there are so
    many that twice of them leave the log-likelihood of the answers as it is.
    """
    if nodes is not None:
        return _trace(answers, alpha, beta, levels, nodes)
    sequence = np.repeat(np.arange(len(answers.lengths)), answers.lengths)
    nodes = first_nodes(sequence, levels[answers.question - 1])
    found = _trace(answers, alpha, beta, levels, nodes)
    while finer(nodes) <= MOST:
        nodes = finer(nodes)
        coarse, found_before = _log_likelihood(found[0], answers), found
        found = _trace(answers, alpha, beta, levels, nodes)
        if stable(coarse, _log_likelihood(found[0], answers)):
            return found_before
    return found


def _log_likelihood(probability: np.ndarray, answers: Sequences) -> float:
    return float(np.log(probability[np.arange(len(probability)), answers.response]).sum())


def _trace(
    answers: Sequences, alpha: np.ndarray, beta: np.ndarray, levels: np.ndarray, nodes: int
) -> tuple[np.ndarray, np.ndarray]:
    theta, log_weight = standard_normal(nodes)
    probability = np.empty((len(answers.question), beta.shape[1] + 1))
    ability = np.empty(len(answers.question))
    for start, length in zip(answers.starts, answers.lengths, strict=True):
        rows = slice(start, start + length)
        # Of the items of one sequence: a table of all, thousands, would not fit at many nodes.
        item, question = np.unique(answers.question[rows] - 1, return_inverse=True)
        log = log_p(theta, alpha[item], beta[item], levels[item])
        table = np.ascontiguousarray(log.transpose(1, 2, 0))
        seen = table[question, answers.response[rows]]
        joint = np.vstack([log_weight[None], seen[:-1]]).cumsum(axis=0)  # (length, nodes)
        posterior = np.exp(joint - joint.max(axis=1, keepdims=True))
        posterior /= posterior.sum(axis=1, keepdims=True)
        probability[rows] = np.einsum("tkg,tg->tk", np.exp(table)[question], posterior)
        ability[rows] = (posterior * theta).sum(axis=1)
    return probability, ability
