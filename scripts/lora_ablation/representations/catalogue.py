"""The representations (shared spec 2.1) as columns of the families that are computed once."""

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

# Numbers per down/up pair, of the update up @ down: invariant to how it is factored (spec 6.3).
PAIR_FAMILIES = {
    "product": (*(f"s{i}" for i in range(1, 11)), "frob", "nuclear", "mean", "std", "skew", "kurt"),
}

# [family, number] of each representation, in the order of the source.
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
REPRESENTATIONS["product"] = [["product", name] for name in PAIR_FAMILIES["product"]]
