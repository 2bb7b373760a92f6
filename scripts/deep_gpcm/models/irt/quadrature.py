"""Quadrature of the abilities, theta ~ N(0, 1), as fine as the answers need it.

The trapezoidal rule is exact to 1e-8 where its nodes are no farther apart than the standard
deviation of what it integrates (the error is 2 exp(-2 pi^2 sd^2 / spacing^2); Trefethen and
Weideman 2014, doi:10.1137/130932132). That is the posterior of the student with the most
information. docs/studies/deep_gpcm.md, Classical model.
"""

import numpy as np

FEWEST, MOST, REACH = 81, 5121, 5.0
STABLE = 0.01  # nats of the log-likelihood of all answers


def standard_normal(nodes: int = FEWEST) -> tuple[np.ndarray, np.ndarray]:
    """Evenly spaced nodes (nodes,) on [-5, 5], and the logarithms of their weights."""
    theta = np.linspace(-REACH, REACH, nodes)
    log_weight = -(theta**2) / 2
    return theta, log_weight - np.log(np.exp(log_weight).sum())


def first_nodes(group: np.ndarray, levels: np.ndarray) -> int:
    """Nodes with which to start: 81, 161, 321, ...

    group (n,) number of the student, or sequence, of each answer; levels (n,) categories of its
    item. An answer is taken to inform as one of slope 1 whose categories are equally likely: by
    their variance, (levels^2 - 1) / 12.
    """
    information = np.bincount(group, (levels.astype(float) ** 2 - 1) / 12).max()
    nodes = FEWEST
    while 2 * REACH / (nodes - 1) > 1 / np.sqrt(1 + information) and finer(nodes) <= MOST:
        nodes = finer(nodes)
    return nodes


def finer(nodes: int) -> int:
    """Half the spacing, all nodes kept."""
    return 2 * nodes - 1


def stable(coarse: float, fine: float) -> bool:
    """Whether two log-likelihoods of all answers, in nats, are one."""
    return abs(fine - coarse) < STABLE
