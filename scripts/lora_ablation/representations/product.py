"""Family `product`: numbers of the update D = scale * up @ down of a pair, without forming it.

They depend on D alone: not on how it is factored (docs/studies/lora_ablation.md, Updates).
"""

import numpy as np

from scripts.lora_ablation.representations.singular import top10, triangle, values_of_small

EPS = 1e-8
# Beyond, r^4 sums over index tuples cost more than the entries of D.
MOST_FACTORS = 8
BLOCK_ENTRIES = 1 << 16


def compute(down: np.ndarray, up: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """s1-s10, Frobenius and nuclear norm, mean, std (ddof 1), skew and kurt of D of each pair.

    down float32 [n, r, in], up float32 [n, out, r], scale [n] -> float32 [n, 16]; s is padded with
    zeros, skew and kurt have the eps of the family `moments`.
    """
    b, a = np.ascontiguousarray(up.swapaxes(1, 2), np.float64), down.astype(np.float64)
    core = triangle(b.swapaxes(1, 2)) @ triangle(a.swapaxes(1, 2)).swapaxes(1, 2)
    values = values_of_small(core) * np.abs(scale)[:, None]
    size = b.shape[2] * a.shape[2]
    mean = np.vecdot(b.sum(axis=2), a.sum(axis=2)) / size
    central = _by_tuples if a.shape[1] <= MOST_FACTORS else _by_entries
    second, third, fourth = central(b, a, mean)
    std = np.abs(scale) * np.sqrt(np.maximum(second, 0) * size / max(size - 1, 1))
    numbers = [np.sqrt(np.vecdot(values, values)), values.sum(axis=1), scale * mean, std]
    numbers += [scale**3 * third / (std + EPS) ** 3, scale**4 * fourth / (std + EPS) ** 4]
    return np.concatenate([top10(values), np.stack(numbers, axis=1)], axis=1, dtype=np.float32)


def _by_tuples(b: np.ndarray, a: np.ndarray, mean: np.ndarray) -> tuple[np.ndarray, ...]:
    """Central moments 2, 3, 4 over the entries of b' a, for b [n, r, out] and a [n, r, in].

    E[D^k] is the sum over k-tuples of factors of the mean product of those rows of b, times that
    of a: tuples are taken as two unordered pairs, a pair of two different factors counting twice.
    """
    first, second = np.triu_indices(b.shape[1])
    twice = np.where(first == second, 1.0, 2.0)
    means = []
    for left, right, weight in (("x", "x", 1.0), ("xx", "x", twice[:, None]),
                                ("xx", "xx", np.outer(twice, twice))):  # fmt: skip
        sums = 1.0
        for x in (b, a):
            rows = {"x": x, "xx": x[:, first] * x[:, second]}
            sums = sums * (rows[left] @ rows[right].swapaxes(1, 2) / x.shape[2])
        means.append((sums * weight).sum(axis=(1, 2)))
    e2, e3, e4 = means
    m = mean
    return e2 - m**2, e3 - 3 * m * e2 + 2 * m**3, e4 - 4 * m * e3 + 6 * m**2 * e2 - 3 * m**4


def _by_entries(b: np.ndarray, a: np.ndarray, mean: np.ndarray) -> tuple[np.ndarray, ...]:
    """The same from the entries of b' a, some rows at a time: r^4 tuples would be more work."""
    sums = np.zeros((3, len(b)))
    step = max(1, BLOCK_ENTRIES // a.shape[2])
    for i in range(len(b)):
        for start in range(0, b.shape[2], step):
            entries = (b[i, :, start : start + step].T @ a[i]).ravel() - mean[i]
            squares = entries * entries
            sums[:, i] += squares.sum(), np.vecdot(squares, entries), np.vecdot(squares, squares)
    return tuple(sums / (b.shape[2] * a.shape[2]))
