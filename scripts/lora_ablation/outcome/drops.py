"""How much accuracy a selection of tensors loses, overall and by class, on the same test rows."""

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy import stats

from scripts.lib.seeds import numpy_rng
from scripts.lib.stats import mean
from scripts.lora_ablation.data.families import is_half
from scripts.lora_ablation.outcome.grid import CELL, FULL, Outcome, percentiles, resampled_means

DROPS = [
    *("representation", "contrast", "drop", "relative", "retention", "low", "high", "se_runs"),
    *("p", "p_holm", "n_test"),
]
CLASSES = [
    *("representation", "label", "recall_all", "recall_visual", "drop", "low", "high", "n_test"),
]


def compared(layers: list[str]) -> str | None:
    """The selection that the random halves are the control of: visual, else the first of a part."""
    parts = [name for name in layers if name != "all" and not is_half(name)]
    return "visual" if "visual" in parts else next(iter(parts), None)


def contrasts(layers: list[str]) -> dict[str, tuple[list[str], str]]:
    """By name: the selections whose mean accuracy is the first term, and the one subtracted.

    `all-<selection>` for every other selection, and `half-visual` with the mean of all random
    halves: what visual loses beyond the loss of half of the tensors. Adapters without visual
    tensors have another selection in its place (`compared`).
    """
    found = {f"all-{name}": (["all"], name) for name in layers if name != "all"}
    halves, part = [name for name in layers if is_half(name)], compared(layers)
    return found | ({f"half-{part}": (halves, part)} if halves and part else {})


def comparable(found: Outcome) -> Iterator[tuple[str, str, list[tuple], tuple]]:
    """(representation, contrast, first cells, second cell) of which every cell was finished."""
    full = found.complete[found.complete["share"] == FULL]
    for name, part in full.groupby("representation", sort=False):
        for contrast, (first, second) in contrasts(list(part["layers"].unique())).items():
            cells = [(name, layers, FULL) for layers in (*first, second)]
            if all(cell in found.hits.columns for cell in cells):
                yield name, contrast, cells[:-1], cells[-1]


def paired_p(differences: np.ndarray) -> float:
    """Two-sided p of Student's paired test that the mean difference over rows is zero.

    With one run per cell a row's difference is -1, 0 or 1 and the test is close to McNemar's.
    NaN for fewer than two rows.
    """
    found = mean(differences)
    if found.n < 2:
        return math.nan
    if found.mcse == 0:
        return float(found.value == 0)
    return float(2 * stats.t.sf(abs(found.value) / found.mcse, found.n - 1))


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's step-down adjusted p-values of one family; a NaN stays one and is not counted."""
    p = np.asarray(p, float)
    adjusted, known = p.copy(), np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(steps))
    return adjusted


def drops(found: Outcome, resampled: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Drops in accuracy, as shares in [0, 1], of every comparable pair at the full training set.

    low, high: paired bootstrap over test rows; p: Student's paired test over test rows; p_holm:
    Holm over the representations within a contrast; se_runs: standard error from the
    initialisations, which the interval leaves out.
    """
    rows, shares = [], found.per_run(found.hits)
    of_runs = found.runs.groupby(CELL)["test_accuracy"]
    variance = of_runs.var(ddof=1) / of_runs.count()
    for name, contrast, first, second in comparable(found):
        difference = shares[first].mean(axis=1) - shares[second]
        # Sums of whole numbers are exact, so equal predictions differ by exactly zero.
        accuracy = found.per_run(found.hits[[*first, second]].sum().to_frame().T / len(shares))
        before, after = accuracy[first].iloc[0].mean(), accuracy[second].iloc[0]
        low, high = percentiles(
            (resampled[first].mean(axis=1) - resampled[second]).to_numpy(), confidence
        )
        row = {"representation": name, "contrast": contrast, "drop": before - after}
        row |= {"relative": (before - after) / before if before else None}
        row |= {"retention": after / before if before else None, "low": low, "high": high}
        row |= {"se_runs": np.sqrt(variance[first].sum(skipna=False) / len(first) ** 2
                                   + variance[second])}  # fmt: skip
        rows.append(row | {"p": paired_p(difference.to_numpy()), "n_test": len(shares)})
    table = pd.DataFrame(rows, columns=DROPS)
    table["p_holm"] = table.groupby("contrast")["p"].transform(lambda p: holm(p.to_numpy()))
    return table


def classes(found: Outcome, draws: int, seed: int, confidence: float) -> pd.DataFrame:
    """Recall of each class with all and with visual (`compared`) tensors, and the drop of it.

    low, high: paired bootstrap over the class's test rows. Weighted by n_test the drops add up to
    the drop in accuracy. Random: the samples, by the stream (seed, "lora_ablation", "class",
    label); all representations share them.
    """
    part = compared(list(found.complete["layers"].unique())) or "visual"
    recall_part = f"recall_{part}"
    pairs = {
        name: [*first, second]
        for name, contrast, first, second in comparable(found)
        if contrast == f"all-{part}"
    }
    wanted, rows = [cell for cells in pairs.values() for cell in cells], []
    for label in sorted(found.labels.unique()) if pairs else ():
        hits = found.hits.loc[found.labels == label, wanted]
        rng = numpy_rng(seed, "lora_ablation", "class", label)
        sampled = resampled_means(hits.to_numpy(), draws, rng)
        sampled = found.per_run(pd.DataFrame(sampled, columns=hits.columns))
        recall = found.per_run(hits.sum().to_frame().T / len(hits)).iloc[0]
        for name, (first, second) in pairs.items():
            low, high = percentiles((sampled[first] - sampled[second]).to_numpy(), confidence)
            row = {"representation": name, "label": label, "recall_all": recall[first]}
            row |= {recall_part: recall[second], "drop": recall[first] - recall[second]}
            rows.append(row | {"low": low, "high": high, "n_test": len(hits)})
    columns = [recall_part if name == "recall_visual" else name for name in CLASSES]
    table = pd.DataFrame(rows, columns=columns)
    order = np.argsort(pd.factorize(table["representation"])[0], kind="stable")
    return table.iloc[order].reset_index(drop=True)
