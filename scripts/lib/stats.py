"""Estimates with their Monte Carlo standard errors, and the tests that agreement rests on.

`scipy.stats` is imported where it is called: it takes half a second that most jobs need not pay.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy import special


class Estimate(NamedTuple):
    """A value with its Monte Carlo standard error and interval; `n` observations."""

    value: float
    mcse: float
    low: float
    high: float
    n: int


def mean(values: np.ndarray, confidence: float = 0.95) -> Estimate:
    """Mean with MCSE s / sqrt(n) and a normal interval; NaN error and interval for n = 1."""
    values = np.asarray(values, float)
    n = len(values)
    mcse = float(values.std(ddof=1) / math.sqrt(n)) if n > 1 else math.nan
    reach = float(special.ndtri(0.5 + confidence / 2)) * mcse
    centre = float(values.mean()) if n else math.nan
    return Estimate(centre, mcse, centre - reach, centre + reach, n)


def proportion(successes: int, n: int, confidence: float = 0.95) -> Estimate:
    """Share with MCSE sqrt(p(1-p)/n) and Wilson's interval, which stays honest at 0 and 1."""
    from scipy import stats

    p = successes / n
    interval = stats.binomtest(successes, n).proportion_ci(confidence, method="wilson")
    return Estimate(p, math.sqrt(p * (1 - p) / n), interval.low, interval.high, n)


def mean_share(values: np.ndarray, confidence: float = 0.95, student: bool = False) -> Estimate:
    """Mean of shares, as `mean`, with an interval that stays within 0 and 1.

    Wilson's, with the number of trials that has the standard error of the mean, p (1 - p) / MCSE^2
    (the effective sample size; Franco et al. 2019, doi:10.1093/jssam/smy019), and the normal
    quantile, or Student's of n - 1. Shares that are all alike have an interval of no width, and a
    single one has none (NaN), as elsewhere.
    """
    found = mean(values)
    quantile = 0.5 + confidence / 2
    z = special.stdtrit(found.n - 1, quantile) if student else special.ndtri(quantile)
    p, spread = found.value, float(z) * found.mcse
    variance = p * (1 - p)
    # The square of the quantile over the effective number; 0 where all values are 0, or 1.
    low, high = _wilson(p, spread**2 / variance if variance > 0 else found.mcse)
    return found._replace(low=low, high=high)


def wilson(p: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's interval of a share p of n trials, as `proportion`; p n need not be whole."""
    return _wilson(p, float(special.ndtri(0.5 + confidence / 2)) ** 2 / n)


def _wilson(p: float, ratio: float) -> tuple[float, float]:
    """The interval where the quantile squared over the number of trials is `ratio`."""
    centre = (p + ratio / 2) / (1 + ratio)
    reach = math.sqrt(ratio * p * (1 - p) + ratio**2 / 4) / (1 + ratio)
    return float(np.clip(centre - reach, 0, 1)), float(np.clip(centre + reach, 0, 1))


def paired_interval(differences: np.ndarray, confidence: float = 0.90) -> Estimate:
    """Mean paired difference with Student's interval.

    The 90 % interval inside (-margin, margin) is the two one-sided tests (TOST) at 5 %; its
    upper end below the margin is one-sided non-inferiority at 5 %.
    """
    found = mean(differences)
    reach = float(special.stdtrit(found.n - 1, 0.5 + confidence / 2)) * found.mcse
    return found._replace(low=found.value - reach, high=found.value + reach)


def below(low: float, high: float, most: float) -> bool | None:
    """True with the interval below a bound, False from it on, None where it reaches over."""
    return True if high < most else False if low >= most else None


def all_of(*passed: bool | None) -> bool | None:
    """False if one is, True if all are, else undecided (None)."""
    return False if False in passed else None if None in passed else True


def passes(low: float, high: float, least: float, most: float) -> bool | None:
    """True with the interval inside the margins, False outside, None where it reaches over.

    An interval that is no number decides nothing.
    """
    return all_of(below(low, high, most), below(-high, -low, -least))


def trimmed_interval(
    differences: np.ndarray, confidence: float = 0.95, share: float = 0.1, draws: int = 10_000
) -> Estimate:
    """Mean without the `share` largest and the `share` smallest, with a bootstrap interval.

    For differences with heavy tails. The resampling is seeded by a constant. NaN for n < 2.
    """
    differences = np.asarray(differences, float)
    n = len(differences)
    if n < 2:
        return Estimate(math.nan, math.nan, math.nan, math.nan, n)
    from scipy import stats

    samples = differences[np.random.default_rng(0).integers(0, n, (draws, n))]
    means = stats.trim_mean(samples, share, axis=1)
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    value = float(stats.trim_mean(differences, share))
    return Estimate(value, float(means.std()), float(low), float(high), n)


def paired_ratio(
    slower: np.ndarray, faster: np.ndarray, confidence: float = 0.95, draws: int = 2_000
) -> Estimate:
    """Typical ratio slower / faster of paired rounds, with a hierarchical bootstrap interval.

    Positive floats [rounds, calls]. A round's ratio is that of the geometric means of its calls,
    so drift that hits both sides of a round cancels; the estimate is the Hodges-Lehmann centre of
    the rounds' logarithms (the median of the means of all pairs), which a wild round among many
    moves little. Rounds, which are processes, are resampled jointly, then the calls within each
    side of a round. The interval is that of the percentiles, widened on the log scale as Student's
    is beside the normal one, because so few rounds show too little of their spread (Hesterberg
    2015, doi:10.1080/00031305.2015.1089789, expanded percentiles). The resampling is seeded by a
    constant: the same measurements give the same interval. NaN interval for one round.
    """
    sides = [np.log(np.asarray(side, float)) for side in (slower, faster)]
    n = len(sides[0])
    centre = _hodges_lehmann((sides[0].mean(1) - sides[1].mean(1))[None])[0]
    if n < 2:
        return Estimate(float(np.exp(centre)), math.nan, math.nan, math.nan, n)
    rng = np.random.default_rng(0)
    rounds = rng.integers(0, n, (draws, n))
    drawn = [_calls(side, rounds, rng).mean(2) for side in sides]
    found = _hodges_lehmann(drawn[0] - drawn[1])
    tail = (1 - confidence) / 2
    wider = float(special.stdtrit(n - 1, 1 - tail) / special.ndtri(1 - tail))
    wider *= math.sqrt(n / (n - 1))
    low, high = centre + wider * (np.quantile(found, [tail, 1 - tail]) - centre)
    value, error = float(np.exp(centre)), float(found.std() * math.sqrt(n / (n - 1)))
    return Estimate(value, value * error, float(np.exp(low)), float(np.exp(high)), n)


def _calls(side: np.ndarray, rounds: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Calls of the drawn rounds, drawn again within each: [draws, rounds, calls]."""
    calls = side.shape[1]
    if calls == 1:
        return side[rounds]
    return side[rounds[..., None], rng.integers(0, calls, (*rounds.shape, calls))]


def _hodges_lehmann(values: np.ndarray) -> np.ndarray:
    """Median of the means of all pairs in each row, a value with itself included."""
    first, second = np.triu_indices(values.shape[1])
    return np.median((values[:, first] + values[:, second]) / 2, axis=1)
