"""Ability and next answer of a student from the answers so far, by Bayes' rule."""

import numpy as np

from scripts.deep_gpcm.fold import Sequences
from scripts.deep_gpcm.irt.model import NODES, log_p, standard_normal


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
