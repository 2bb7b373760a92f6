"""What an arm predicts, as tables: a row per answer of the test students, a row per question."""

import numpy as np

from scripts.deep_gpcm.fold import Sequences


def predicted(
    unit: dict, test: Sequences, probability: np.ndarray, theta: np.ndarray | None
) -> dict[str, np.ndarray | list]:
    """Columns of a predictions file.

    `unit` labels every row (arm, data, fold). probability (n, K) of each category given what came
    before; theta (n,) the ability that it rests on, None if the arm has none.
    """
    n = len(test.question)
    columns = {name: [value] * n for name, value in unit.items()}
    columns |= {
        "student_id": np.repeat(test.student, test.lengths).astype(np.int32),
        "t": test.position.astype(np.int16),
        "question_id": test.question.astype(np.int32),
        "response": test.response.astype(np.int8),
        "theta": np.full(n, np.nan) if theta is None else theta.astype(float),
    }
    return columns | {f"p_{k}": p.astype(np.float32) for k, p in enumerate(probability.T)}


def estimated(unit: dict, alpha: np.ndarray, beta: np.ndarray) -> dict[str, np.ndarray | list]:
    """Columns of an estimates file: alpha (Q,) and beta (Q, K - 1), NaN where there is none."""
    columns = {name: [value] * len(alpha) for name, value in unit.items()}
    columns |= {"question_id": np.arange(1, len(alpha) + 1, dtype=np.int32), "alpha": alpha}
    return columns | {f"beta_{h}": b for h, b in enumerate(beta.T, start=1)}
