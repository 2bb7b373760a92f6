"""Family `spectral`: the singular values and what is made of them."""

import numpy as np

from scripts.lora_ablation.representations.singular import singular_values, top10

EPS = 1e-8


def compute(x: np.ndarray) -> np.ndarray:
    """s1-s10, their shares p1-p10, gaps g1-g9, entropy, cond, sum; nuclear norm and two ratios.

    x float32 [n, p, q] -> float32 [n, 35]. Up to the sum only the ten largest values count, zeros
    where there are fewer; the nuclear norm and its ratio to the Frobenius norm take all of them.
    All from float64 values, so that ratios that are constant at rank 1 come out as constants
    (docs/studies/lora_ablation.md, Rank 1).
    """
    return numbers(singular_values(x))


def numbers(values: np.ndarray) -> np.ndarray:
    """The same of singular values [n, r], descending."""
    top = top10(values)
    total = top.sum(axis=1)
    share = top / (total + EPS)[:, None]
    gaps = (top[:, :-1] - top[:, 1:]) / (top[:, :-1] + EPS)
    entropy = -(share * np.log(share + EPS)).sum(axis=1)
    nuclear, frob = values.sum(axis=1), np.sqrt(np.vecdot(values, values))
    rest = [entropy, top[:, 0] / (top[:, 9] + EPS), total]
    rest += [nuclear, nuclear / (frob + EPS), top[:, 0] / (frob + EPS)]
    return np.concatenate([top, share, gaps, np.stack(rest, axis=1)], axis=1, dtype=np.float32)
