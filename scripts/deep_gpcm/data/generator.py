"""The built-in data source: static abilities and GPCM items, drawn as the original draws them."""

import numpy as np

from scripts.deep_gpcm.data.responses import Responses, assemble, item_table, student_table
from scripts.deep_gpcm.data.split import legacy_rng
from scripts.deep_gpcm.options import Generated
from scripts.lib.faults import LoadError


def read(source: Generated, seed: int) -> Responses:
    """Answers of `students` to `questions` of `categories`, bit by bit the original's.

    docs/studies/deep_gpcm.md, Generator.
    Random: everything, from one legacy stream of `seed` in the order theta (S,), alpha (Q,), beta
    (Q, K - 1), then for each student a length (`lengths`: [lo, hi), hi exclusive), the questions
    and the answers. So more students change every item and every answer, as in the original; only
    the abilities of the first ones stay.
    """
    students, questions, categories = source.students, source.questions, source.categories
    low, high = source.lengths
    if not 1 <= low < high:
        raise LoadError(
            f"Sequences are generated with lengths from {low} to below {high}; expected 1 or more "
            "and a larger number."
        )
    rng = legacy_rng(seed)
    theta = rng.normal(0, 1, students)
    alpha = rng.lognormal(0, 0.3, questions)
    beta = np.array([_thresholds(rng, categories) for _ in range(questions)])
    answered, chances = [], []
    for _ in range(students):
        length = rng.randint(low, high)
        answered.append(rng.randint(0, questions, length))
        chances.append(rng.random_sample(length))
    student = np.repeat(np.arange(students), [len(asked) for asked in answered])
    item = np.concatenate(answered)
    p = probabilities(theta[student], alpha[item], beta[item])
    return assemble(
        student=student,
        question=item + 1,
        response=drawn(p, np.concatenate(chances)),
        students=student_table(range(students), theta),
        items=item_table(
            range(1, questions + 1), np.full(questions, categories), alpha=alpha, beta=beta
        ),
        window=source.window,
    )


def probabilities(theta: np.ndarray, alpha: np.ndarray, beta: np.ndarray) -> np.ndarray:
    """GPCM probabilities (n, K) of abilities (n,), slopes (n,) and thresholds (n, K - 1)."""
    z = np.zeros((len(theta), beta.shape[1] + 1))
    np.cumsum(alpha[:, None] * (theta[:, None] - beta), axis=1, out=z[:, 1:])
    p = np.exp(z - z.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


def drawn(p: np.ndarray, chance: np.ndarray) -> np.ndarray:
    """Categories (n,) of uniform numbers (n,) as `RandomState.choice(K, p=p)` maps them."""
    cumulative = np.cumsum(p, axis=1)
    cumulative /= cumulative[:, -1:]
    return (cumulative <= chance[:, None]).sum(axis=1)


def _thresholds(rng: np.random.RandomState, categories: int) -> np.ndarray:
    return np.sort(rng.normal(rng.normal(0, 1), 0.5, categories - 1))
