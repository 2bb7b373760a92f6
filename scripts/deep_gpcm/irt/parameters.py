"""What is known or estimated of students and items, with the students' ids."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq


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
    item, student = pq.read_table(items), pq.read_table(students)
    names = [name for name in item.column_names if name.startswith("beta_")]
    truth = Parameters(
        student=student["student_id"].to_numpy().astype(np.int64),
        theta=student["theta"].to_numpy().astype(float),
        alpha=item["alpha"].to_numpy().astype(float),
        beta=np.column_stack([item[name].to_numpy() for name in names]).astype(float),
    )
    unknown = np.isnan(truth.alpha).any() or np.isnan(truth.theta).any()
    return None if unknown else truth
