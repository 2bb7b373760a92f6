"""The generalized partial credit model (Muraki 1992): parameters, probabilities, abilities.

docs/studies/deep_gpcm.md, Probabilities and Classical model.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import log_softmax

from scripts.deep_gpcm.data.fold import Sequences
from scripts.lib.table_files import read_table

NODES, REACH = 81, 5.0


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


def standard_normal(nodes: int = NODES) -> tuple[np.ndarray, np.ndarray]:
    """Quadrature of N(0, 1): evenly spaced nodes (nodes,) on [-5, 5] and their log-weights.

    At 41 nodes the spacing exceeds the posterior's spread after 150 answers and thresholds are
    biased by -0.15; 81 are enough there.
    """
    theta = np.linspace(-REACH, REACH, nodes)
    log_weight = -(theta**2) / 2
    return theta, log_weight - np.log(np.exp(log_weight).sum())


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
    nodes: int = NODES,
) -> tuple[np.ndarray, np.ndarray]:
    """Probability (n, K) of each category of each answer, and the ability (n,) it rests on.

    Both are given the earlier answers of the same sequence only: the posterior predictive, and
    the posterior mean (EAP, Bock and Mislevy 1982) of theta ~ N(0, 1). A first answer gets the
    prior's. alpha (Q,), beta (Q, K - 1) and levels (Q,) of the items.
    """
    theta, log_weight = standard_normal(nodes)
    table = np.ascontiguousarray(log_p(theta, alpha, beta, levels).transpose(1, 2, 0))
    likelihood = np.exp(table)
    probability = np.empty((len(answers.question), table.shape[1]))
    ability = np.empty(len(answers.question))
    for start, length in zip(answers.starts, answers.lengths, strict=True):
        rows = slice(start, start + length)
        question = answers.question[rows] - 1
        seen = table[question, answers.response[rows]]
        joint = np.vstack([log_weight[None], seen[:-1]]).cumsum(axis=0)  # (length, nodes)
        posterior = np.exp(joint - joint.max(axis=1, keepdims=True))
        posterior /= posterior.sum(axis=1, keepdims=True)
        probability[rows] = np.einsum("tkg,tg->tk", likelihood[question], posterior)
        ability[rows] = (posterior * theta).sum(axis=1)
    return probability, ability
