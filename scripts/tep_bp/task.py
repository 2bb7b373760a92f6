"""A classification task as its stages read it: samples, and who trains, validates, tests."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Task:
    """Samples x (N, D) and classes y (N,) int64 from 0, with row numbers of each part.

    x is float32, or uint8 where 0 to 255 stands for 0 to 1 (images stay small until a batch is
    taken). `parts` has the row numbers of train, val and test, which do not overlap.
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    classes: int
    parts: dict[str, np.ndarray]
