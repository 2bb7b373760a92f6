"""Chosen configurations again: their test accuracy, and the rules in pairs (spec 6.2.6, 6.2.7)."""

from itertools import combinations

import numpy as np
import pandas as pd

from scripts.lib.comparison import NOT_COMPARABLE
from scripts.lib.stats import paired_interval
from scripts.tep_bp.outcome.rows import together
from scripts.tep_bp.search.comparable import refusal
from scripts.tep_bp.search.pairs import compare
from scripts.tep_bp.search.ranking import SCORE, scored
from scripts.tep_bp.search.space import DIMENSIONS

REPEATS = ["rule", "rank", "chosen", *DIMENSIONS, SCORE, "test_accuracy", "low", "high", "n",
           "diverged", "reason"]  # fmt: skip
PAIRS = ["scope", "first", "second", "verdict", "difference", "low", "high", "p", "effect",
         "seeds", "samples", "configurations", "reason"]  # fmt: skip
MEANS = ("difference", "low", "high")


def repeats(again: pd.DataFrame, results: pd.DataFrame, spec: dict) -> pd.DataFrame:
    """Mean test accuracy over new seeds with Student's 95 % interval, by rule and rank.

    `val_accuracy` is what the configuration was chosen by. A configuration that lacks a repeat
    has the reason instead of a mean.
    """
    chosen_by = results.set_index(["rule", "trial"])[SCORE]
    rows = []
    for (rule, _), part in again.groupby(["rule", "rank"], sort=False):
        reason = refusal(part, [rule], range(spec["repeats"]), "repeat", "test_accuracy")
        row = part.iloc[0][["rule", "rank", "chosen", *DIMENSIONS]].to_dict()
        row |= {SCORE: chosen_by.get((rule, row["chosen"])), "reason": reason, "n": len(part)}
        row["diverged"] = int((part["status"] == "diverged").sum())
        if not reason:
            found = paired_interval(part["test_accuracy"], confidence=0.95)
            row |= {"test_accuracy": found.value, "low": found.low, "high": found.high}
        rows.append(row)
    return together(rows, REPEATS)


def pairs(again: pd.DataFrame, reasons: dict[str, str], spec: dict) -> pd.DataFrame:
    """Every two rules: the validation-chosen configurations, and the mean of the `top` ones.

    Scopes "chosen" and "top". A rule whose search may not be compared (`reasons`) chose among
    other trials, so its configurations may not be compared either. Random: see search.pairs.
    """
    top = min(spec["top"], spec["trials"])
    scopes = {"chosen": (again[again["rank"] == 0], 1)}
    if top > 1:
        scopes["top"] = (summed(again, top), top)
    rows = []
    for scope, (part, size) in scopes.items():
        for first, second in combinations(spec["rules"], 2):
            found = {"verdict": NOT_COMPARABLE, "reason": reasons[first] or reasons[second]}
            if not found["reason"]:
                found = compare(part, first, second, spec["repeats"], spec["seed"])
            found |= {name: found[name] / size for name in MEANS if name in found}
            pair = {"scope": scope, "first": first, "second": second, "configurations": size}
            rows.append(pair | found)
    return together(rows, PAIRS)


def summed(again: pd.DataFrame, top: int) -> pd.DataFrame:
    """By rule and repeat the hits of each sample, summed over ranks 0 to top - 1.

    All configurations share the test samples: a sum keeps a sample one sample, where a row per
    configuration would count it `top` times. A repeat that lacks a rank or hits has no row.
    """
    rows = []
    for (rule, repeat), part in again.groupby(["rule", "repeat"], sort=False):
        part = scored(part, "hits")
        if sorted(part["rank"]) == list(range(top)) and part["hits"].map(len).nunique() == 1:
            hits = np.stack(part["hits"].to_list()).sum(axis=0)
            rows.append({"rule": rule, "repeat": repeat, "status": "ok", "hits": hits})
    return together(rows, ["rule", "repeat", "status", "hits"])
