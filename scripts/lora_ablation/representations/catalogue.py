"""The representations as columns of the families that are computed once, and their tolerances.

Formulas are in docs/studies/lora_ablation.md, Representations, and in the modules of the families.
"""

import numpy as np

from scripts.lora_ablation.specs import Column, FamilyJob

# Numbers of each family per tensor, in the order in which its module computes them.
FAMILIES = {
    "moments": ("mean", "std", "skew", "kurt", "mad", "cv"),
    "quantiles": (
        *("min", "max", "median"),
        *("q01", "q05", "q10", "q25", "q50", "q75", "q90", "q95", "q99"),
        *("iqr", "range"),
    ),
    "norms": ("frob", "l1", "linf"),
    "spectral": (
        *(f"s{i}" for i in range(1, 11)),
        *(f"p{i}" for i in range(1, 11)),
        *(f"g{i}" for i in range(1, 10)),
        *("entropy", "cond", "nuclear10"),
        *("nuclear", "nuclear_frob", "spectral_frob"),
    ),
    "frequency": (*(f"top{i}" for i in range(1, 11)), "mean", "std", "max", "concentration"),
    "entropy": ("entropy", "entropy_ratio"),
}

# Numbers per down/up pair, of the update up @ down: invariant to how it is factored
# (docs/studies/lora_ablation.md, Updates).
PAIR_FAMILIES = {
    "product": (*(f"s{i}" for i in range(1, 11)), "frob", "nuclear", "mean", "std", "skew", "kurt"),
}

# [family, number] of each representation, in the order of the original.
REPRESENTATIONS = {
    "simple_stats": [
        ["norms", "frob"],
        *(["moments", name] for name in ("mean", "std")),
        *(["quantiles", name] for name in ("max", "min")),
    ],
    "rank_based": [["quantiles", name] for name in FAMILIES["quantiles"][3:]],
    "stats": [
        *(["moments", name] for name in ("mean", "std")),
        *(["quantiles", name] for name in ("median", "min", "max")),
        *(["moments", name] for name in ("skew", "kurt")),
    ],
    "spectral": [["spectral", name] for name in FAMILIES["spectral"][:32]],
    "matrix_norms": [
        *(["norms", "frob"], ["spectral", "nuclear"], ["spectral", "s1"]),
        *(["norms", "l1"], ["norms", "linf"]),
        *(["spectral", "nuclear_frob"], ["spectral", "spectral_frob"]),
    ],
    "distribution": [
        *(["quantiles", name] for name in ("q05", "q10", "q25", "q50", "q75", "q90", "q95", "iqr")),
        *(["moments", name] for name in ("mad", "cv", "skew", "kurt")),
    ],
    "frequency": [["frequency", name] for name in FAMILIES["frequency"]],
    "info_theoretic": [["entropy", name] for name in FAMILIES["entropy"]],
}
REPRESENTATIONS["ensemble"] = [
    column
    for name in ("spectral", "matrix_norms", "distribution", "frequency", "info_theoretic")
    for column in REPRESENTATIONS[name]
]
HAND_CRAFTED = list(REPRESENTATIONS)  # the original's, on which all arms are compared
REPRESENTATIONS["product"] = [["product", name] for name in PAIR_FAMILIES["product"]]

# What rounding may do to a number (docs/studies/lora_ablation.md, Tolerance).
RTOL, ATOL = 1e-5, 1e-6
SHAPE_RTOL = 1e-4  # skew and kurt
GAP_ATOL, GAP_ATOL_HIGH_RANK, LOW_RANK = 1e-5, 2e-4, 4
ENTROPY_ATOL, MOVED, MOVED_SHARE = 5e-3, 1e-5, 1e-3
# Below this a number is rounding of a zero (the std of a constant tensor).
NOTHING = 1e-12


def columns(representation: str) -> list[Column]:
    """The numbers of a representation, none of `flat_vec`."""
    known = FAMILIES | PAIR_FAMILIES
    return [
        Column(family=family, number=number, position=known[family].index(number))
        for family, number in REPRESENTATIONS.get(representation, [])
    ]


def families(representation: str) -> list[str]:
    """Families that a representation takes numbers from, in their order of appearance."""
    return list(dict.fromkeys(column.family for column in columns(representation)))


def family_job(family: str, device: str = "cpu") -> FamilyJob:
    """The job that computes one family on one shard; those of pairs are computed on a CPU."""
    names, pairs = list((FAMILIES | PAIR_FAMILIES)[family]), family in PAIR_FAMILIES
    where = "cpu" if pairs else device
    return FamilyJob(family=family, names=names, pairs=pairs, device=where)


def deviation(found: np.ndarray, truth: np.ndarray, numbers: list, rank: int) -> float:
    """Largest difference of `found` from `truth` in units of the tolerance: 1 is just within it.

    found, truth [rows, tensors * k], numbers: the [family, number] of the k (a representation or a
    family), rank: short side of the tensors. Infinite where `found` is not finite.
    Tolerances (docs/studies/lora_ablation.md): |difference| <= 1e-5 |truth| + 1e-6 scale, the scale
    being the mean size of the number over rows; skew and kurt 1e-4; gaps 1e-5 to rank 4, 2e-4
    above; histogram entropy 5e-3, and at most 0.1 % of the tensors may differ by more than 1e-5.
    cv may also be compared as 1/cv = |mean|/std, because mean is almost 0.
    Departs: scale is s1 for singular values, the largest magnitude for the spectrum, and 1 for
    shares and entropies, because that is what their rounding errors are proportional to.
    """
    k = len(numbers)
    found, truth = (np.asarray(x, np.float64).reshape(len(x), -1, k) for x in (found, truth))
    if not np.isfinite(found).all():
        return np.inf
    sizes = {tuple(column): np.abs(truth[..., j]).mean(axis=0) for j, column in enumerate(numbers)}
    units = [
        _units(found[..., j], truth[..., j], _scale(tuple(column), sizes), tuple(column), rank)
        for j, column in enumerate(numbers)
    ]
    return float(max(units))


def _scale(column: tuple[str, str], sizes: dict) -> np.ndarray | float:
    family, name = column
    if family == "spectral" and (name[0] == "p" or name == "entropy"):
        return 1.0
    leading = {"spectral": "s1", "product": "s1", "frequency": "max"}.get(family)
    if leading is None or name in ("cond", "mean" if family == "product" else "concentration"):
        return sizes[column]
    return sizes.get((family, leading), sizes[column])


def _units(found, truth, scale, column: tuple[str, str], rank: int) -> float:
    """The largest difference of one number in units of its tolerance."""
    family, name = column
    difference = np.abs(found - truth)
    if family == "entropy":
        moved = (difference > MOVED).mean()
        return max(difference.max() / ENTROPY_ATOL, moved / MOVED_SHARE)
    if family == "spectral" and name[0] == "g":
        return difference.max() / (GAP_ATOL if rank <= LOW_RANK else GAP_ATOL_HIGH_RANK)
    rtol = SHAPE_RTOL if name in ("skew", "kurt") else RTOL
    units = difference / (rtol * np.abs(truth) + ATOL * scale + NOTHING)
    if name == "cv":
        with np.errstate(divide="ignore", invalid="ignore"):
            inverse, true_inverse = 1 / found, 1 / truth
            allowed = RTOL * true_inverse + ATOL * true_inverse.mean(axis=0)
            units = np.fmin(units, np.abs(inverse - true_inverse) / allowed)
    return units.max()
