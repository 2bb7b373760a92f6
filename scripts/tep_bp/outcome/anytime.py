"""What a budget buys: the expected best of n trials, for every n, without the luck of their order.

Tables anytime (the curves) and budgets (at equal numbers of trials and at equal cost). Source:
docs/studies/tep_bp.md, Anytime curves.
"""

import numpy as np
import pandas as pd

from scripts.lib.seeds import numpy_rng
from scripts.lib.table_files import together
from scripts.tep_bp.plans.ranking import SCORE, ranked
from scripts.tep_bp.specs import Row

COSTS = ("cpu_s", "flops")
SHOWN = 60  # rows of a curve
TRIALS = 4 ** np.arange(10)  # budgets in trials, beside that of all
VALUES = ["value", "low", "high"]
ANYTIME = ["rule", "trials", *VALUES, *COSTS]
BUDGETS = ["view", "budget", "rule", "trials", *VALUES, "reason"]


def weights(trials: int) -> np.ndarray:
    """Probability (N, N) that the best of n trials, drawn without replacement, is the i-th worst.

    Row n - 1, column i - 1 is C(i - 1, n - 1) / C(N, n), by the exact recursion from i + 1 to i,
    whose factors (i + 1 - n) / i are in [0, 1]: no factorial, no overflow.
    """
    n, i = np.arange(1, trials + 1)[:, None], np.arange(1, trials)
    factors = np.empty((trials, trials))
    factors[:, :-1] = np.maximum(i + 1 - n, 0) / i
    factors[:, -1:] = n / trials
    return np.cumprod(factors[:, ::-1], axis=1)[:, ::-1]


def expected_best(values: np.ndarray) -> np.ndarray:
    """Mean value (N,) of the chosen one of n = 1..N trials.

    `values` (N,) are in order of rank, the worst first. They need not be what the rank is made
    of: those of a test give the honest curve. NaN where a trial without value could be chosen.
    """
    known, chance = np.isfinite(values), weights(len(values))
    mean = chance @ np.where(known, values, 0.0)
    return np.where((chance[:, ~known] > 0).any(axis=1), np.nan, mean)


def anytime(
    results: pd.DataFrame,
    seed: int,
    value: str = SCORE,
    draws: int = 2_000,
    confidence: float = 0.90,
) -> pd.DataFrame:
    """Columns trials (n), value, low, high and cumulative cpu_s and flops, of one rule's trials.

    low, high: pointwise percentile bootstrap over trials. A cost is n times the mean cost of a
    trial, which is what n trials in random order cost on average; it is there if `results` has
    it. Random: the samples, by the stream (seed, "tep_bp", "anytime").
    """
    worst_first = ranked(results)[::-1]
    values, n = worst_first[value].to_numpy(float), np.arange(1, len(worst_first) + 1)
    table = pd.DataFrame({"trials": n, "value": expected_best(values)})
    table["low"], table["high"] = _bands(values, seed, draws, confidence)
    for cost in [name for name in COSTS if name in results]:
        table[cost] = n * worst_first[cost].mean()
    return table


def within(curve: pd.DataFrame, cost: str, budgets: np.ndarray) -> np.ndarray:
    """Value of a curve at each budget of a cost: that of the most trials which it pays for.

    NaN where it pays for none, or for more trials than there are: nothing is extrapolated.
    """
    values = curve["value"].to_numpy()
    # A budget that is a sum of the same costs in another order still pays for them.
    paid = np.floor(np.asarray(budgets) / curve[cost].iloc[0] * (1 + 1e-9)).astype(int)
    possible = (paid > 0) & (paid <= len(values))
    return np.where(possible, values[np.clip(paid, 1, len(values)) - 1], np.nan)


def curves(results: pd.DataFrame, reasons: dict[str, str], seed: int) -> dict[str, pd.DataFrame]:
    """The anytime curve of each rule that may be compared. Random: see `anytime`."""
    rules = [rule for rule, reason in reasons.items() if not reason]
    return {rule: anytime(results[results["rule"] == rule], seed) for rule in rules}


def thinned(found: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Table anytime: each curve at about 60 log-spaced numbers of trials, the last one too."""
    parts = [pd.DataFrame(columns=ANYTIME)] if not found else []
    for rule, curve in found.items():
        n = np.unique(np.geomspace(1, len(curve), SHOWN).round().astype(int))
        parts.append(curve.iloc[n - 1].assign(rule=rule)[ANYTIME])
    return pd.concat(parts, ignore_index=True)


def budgets(found: dict[str, pd.DataFrame], reasons: dict[str, str]) -> pd.DataFrame:
    """Table budgets: what each rule has at each budget of each view (trials, cpu_s, flops).

    Budgets of a cost are what all trials of each rule cost. Missing where a budget pays for no
    trial, or for more than there are. A rule that may not be compared has its reason instead.
    """
    rows = []
    for view in ("trials", *COSTS):
        ends = [float(curve[view].iloc[-1]) for curve in found.values()]
        if not all(np.isfinite(end) and end > 0 for end in ends):
            continue
        few = TRIALS[max(ends, default=0) > TRIALS] if view == "trials" else ()
        for budget in sorted({*ends, *few}):
            for rule, reason in reasons.items():
                row = {"view": view, "budget": budget, "rule": rule, "reason": reason}
                rows.append(row if reason else row | _bought(found[rule], view, budget))
    return together(rows, BUDGETS)


def _bands(
    values: np.ndarray, seed: int, draws: int, confidence: float
) -> tuple[np.ndarray, np.ndarray]:
    n, tail = len(values), (1 - confidence) / 2
    rng = numpy_rng(seed, "tep_bp", "anytime")
    # Values are in order of rank, so a sample is ranked by sorting its places.
    samples = values[np.sort(rng.integers(0, max(n, 1), (draws, n)), axis=1)]
    low, high = np.quantile(samples @ weights(n).T, [tail, 1 - tail], axis=0)
    return low, high


def _bought(curve: pd.DataFrame, view: str, budget: float) -> Row:
    paid = {"trials": curve["trials"]} | {name: curve[name] for name in VALUES}
    return {name: within(curve.assign(value=column), view, np.array([budget]))[0]
            for name, column in paid.items()}  # fmt: skip
