"""How well generated values reproduce a law: the original's metrics and truth-based ones.

Values are (n,), or (n, d) in several dimensions.
"""

import math
from collections.abc import Callable

import numpy as np
import torch

from scripts.engression.laws import LAWS
from scripts.engression.models.fit import widths_of
from scripts.engression.models.network import sample
from scripts.engression.own_laws import exact_energy, truth_of
from scripts.engression.settings import Evaluation
from scripts.lib.own_study import Unit

QUANTILES = (0.01, 0.05, 0.5, 0.95, 0.99)
EARLY_VALUES = 64
MOST_PAIRED = 4000  # values in several dimensions whose distances are all taken


def mean_abs_difference_within(ordered: np.ndarray) -> float:
    """Unbiased mean of |a - b| over pairs of one sorted sample, in O(n)."""
    n = len(ordered)
    # Not np.dot: its last bits depend on the number of BLAS threads.
    return float(2 / (n * (n - 1)) * (np.arange(1 - n, n, 2) * ordered).sum())


def mean_abs_difference_between(a: np.ndarray, b: np.ndarray) -> float:
    """Mean of |a - b| over all pairs of two sorted samples, in O(n log n)."""
    below = np.searchsorted(a, b)
    prefix = np.concatenate([[0.0], np.cumsum(a)])
    total = ((2 * below - len(a)) * b).sum() + len(b) * prefix[-1] - 2 * prefix[below].sum()
    return float(total / (len(a) * len(b)))


def energy_distance(a: np.ndarray, b: np.ndarray) -> float:
    """2 E|X-Y| - E|X-X'| - E|Y-Y'| of two sorted samples, unbiased (may be slightly negative).

    In several dimensions, (n, d), they need not be sorted, and the first 4,000 of each count.
    """
    if a.ndim == 2:
        a, b = (torch.from_numpy(sample[:MOST_PAIRED]) for sample in (a, b))
        within = sum(float(torch.pdist(sample).mean()) for sample in (a, b))
        exact = "donot_use_mm_for_euclid_dist"  # the other mode loses digits
        return 2 * float(torch.cdist(a, b, compute_mode=exact).mean()) - within
    return (
        2 * mean_abs_difference_between(a, b)
        - mean_abs_difference_within(a)
        - mean_abs_difference_within(b)
    )


def mmd2_unbiased(x: np.ndarray, y: np.ndarray, gamma: float) -> float:
    """Squared maximum mean discrepancy, kernel exp(-gamma (x-y)^2), unbiased and signed."""

    def kernel_sum(a: np.ndarray, b: np.ndarray) -> float:
        squares = (a[:, None] - b[None, :]) ** 2
        return float(np.exp(-gamma * (squares.sum(2) if a.ndim == 2 else squares)).sum())

    n, m = len(x), len(y)
    within_x = (kernel_sum(x, x) - n) / (n * (n - 1))
    within_y = (kernel_sum(y, y) - m) / (m * (m - 1))
    return within_x + within_y - 2 * kernel_sum(x, y) / (n * m)


def ks_two_sample(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """(statistic, exact p-value) of two samples of equal size n.

    Gnedenko and Korolyuk (1951): with h = n D, p = 2 sum_k (-1)^(k-1) C(2n, n-kh) / C(2n, n).
    Departs: the original calls SciPy, whose import costs a job one CPU second; same p (tested).
    """
    n = len(x)
    if len(y) != n:
        raise ValueError(f"ks_two_sample needs equal sizes, got {n} and {len(y)}.")
    grid = np.concatenate([x, y])
    share = np.searchsorted(np.sort(x), grid, "right") - np.searchsorted(np.sort(y), grid, "right")
    h = int(np.abs(share).max())
    if h == 0:
        return 0.0, 1.0
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, 2 * n + 1)))])
    steps = np.arange(1, n // h + 1)
    k = steps * h
    log_share = 2 * log_factorial[n] - log_factorial[n - k] - log_factorial[n + k]
    p = 2 * float(np.sum((-1.0) ** (steps - 1) * np.exp(log_share)))
    return h / n, min(max(p, 0.0), 1.0)


def in_sample(x: np.ndarray, y: np.ndarray, options: Evaluation) -> dict[str, float]:
    """The original's metrics of the training sample x and as many generated values y.

    They are defined in docs/studies/engression.md, Metrics. The test of Kolmogorov and Smirnov is
    for one dimension.
    """
    mmd2 = mmd2_unbiased(x, y, options.mmd_gamma)
    found = {"mmd": math.sqrt(max(0.0, mmd2)), "mmd2_u": mmd2}
    if x.ndim == 2:
        spreads = np.cov(x, rowvar=False) - np.cov(y, rowvar=False)
        return found | {
            "mean_distance": float(np.linalg.norm(x.mean(axis=0) - y.mean(axis=0))),
            "cov_frobenius": float(np.linalg.norm(spreads)),
            "cov_trace": abs(float(np.trace(spreads))),
        }
    statistic, p = ks_two_sample(x, y)
    spread = abs(float(np.var(x, ddof=1) - np.var(y, ddof=1)))
    return found | {
        "ks": statistic,
        "ks_p": p,
        "ks_reject": float(p < options.ks_alpha),
        "mean_distance": abs(float(x.mean() - y.mean())),
        "cov_frobenius": spread,
        "cov_trace": spread,
    }


def against_truth(truth: np.ndarray, y: np.ndarray, exact: float | None = None) -> dict[str, float]:
    """Out-of-sample metrics of generated values y against as many fresh draws of the law.

    `excess_loss` is half the energy distance: how far the population energy loss lies above the
    best attainable, L* = E|X - X'| / 2. If the law tells 2 E|X - Y| - E|X - X'|, it is `exact`.
    In several dimensions `w1_test` is the mean over coordinates, and there are no quantiles.
    """
    if truth.ndim == 2:
        energy = energy_distance(truth, y)
        w1 = np.abs(np.sort(truth, axis=0) - np.sort(y, axis=0)).mean()
        return {"energy_dist_test": energy, "excess_loss": energy / 2, "w1_test": float(w1)}
    truth, y = np.sort(truth), np.sort(y)
    energy = energy_distance(truth, y)
    if exact is not None:
        energy = exact - mean_abs_difference_within(y)
    errors = np.quantile(y, QUANTILES) - np.quantile(truth, QUANTILES)
    return {
        "energy_dist_test": energy,
        "excess_loss": energy / 2,
        "w1_test": float(np.abs(truth - y).mean()),
        **{
            f"q{round(100 * q):02d}_error": float(error)
            for q, error in zip(QUANTILES, errors, strict=True)
        },
    }


def early_values(unit: Unit, parameters: torch.Tensor) -> list[float]:
    """64 values of the generator as it is early in training, from the stream `generate`.

    They tell a wrong gradient at once, which the loss, flat in most directions, does not.
    """
    widths = widths_of(unit)
    values = sample(parameters, widths, EARLY_VALUES, unit.torch_rng("generate"))
    return values.flatten().tolist()


def evaluated(unit: Unit, parameters: torch.Tensor) -> dict[str, float]:
    """All metrics of a trained generator: n generated values against the sample, and `test_draws`
    of them against the law, from the streams `generate`, `generate_test` and `test`."""
    widths = widths_of(unit)
    return scored(unit, lambda n, rng: sample(parameters, widths, n, rng).double().numpy())


def scored(unit: Unit, drawn: Callable[[int, torch.Generator], np.ndarray]) -> dict[str, float]:
    """The same of a generator that is known by `drawn(n, rng)`, n of its values in float64.

    Of an own sample the rows that were held out stand for the law, and as many values are drawn.
    """
    options, x = unit.settings.eval, unit.data["x"]
    y = drawn(len(x), unit.torch_rng("generate"))
    own = unit["law"] not in LAWS
    if own:
        truth = truth_of(unit, options.test_draws)
    else:
        truth = LAWS[unit["law"]].draw(unit.rng("test"), options.test_draws)
    fresh = drawn(len(truth), unit.torch_rng("generate_test"))
    exact = exact_energy(unit, fresh) if own else None
    return in_sample(x.astype(float), y, options) | against_truth(truth, fresh, exact)
