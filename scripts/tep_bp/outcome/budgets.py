"""What a budget buys: the best of n trials, at equal numbers of trials and at equal cost."""

import numpy as np
import pandas as pd

from scripts.tep_bp.outcome.rows import together
from scripts.tep_bp.search.anytime import COSTS, anytime, within

SHOWN = 60  # rows of a curve
TRIALS = 4 ** np.arange(10)  # budgets in trials, beside that of all
VALUES = ["value", "low", "high"]
ANYTIME = ["rule", "trials", *VALUES, *COSTS]
BUDGETS = ["view", "budget", "rule", "trials", *VALUES, "reason"]


def curves(results: pd.DataFrame, reasons: dict[str, str], seed: int) -> dict[str, pd.DataFrame]:
    """The anytime curve of each rule that may be compared. Random: see search.anytime."""
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


def _bought(curve: pd.DataFrame, view: str, budget: float) -> dict:
    paid = {"trials": curve["trials"]} | {name: curve[name] for name in VALUES}
    return {name: within(curve.assign(value=column), view, np.array([budget]))[0]
            for name, column in paid.items()}  # fmt: skip
