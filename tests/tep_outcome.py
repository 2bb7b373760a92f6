"""A study with made-up numbers: rows as the runs have them, and what else the tables read."""

import numpy as np
import pandas as pd

from scripts.tep_bp.options import Band
from scripts.tep_bp.plans.ranking import chosen
from scripts.tep_bp.plans.sampling import trials
from scripts.tep_bp.specs import TablesJob
from scripts.tep_bp.tables import all_tables
from tests.tep_nets import changed
from tests.tep_space import SPACE

RULES = ("tep", "bp", "rbp")
LEGACY = ("legacy", "legacy_per_sample", "legacy_no_stop", "legacy_centred", "legacy_repaired")
TRIALS, REPEATS, TOP, SAMPLES = 32, 4, 3, 40
SPEC = TablesJob(
    arm="gated", rules=list(RULES), original=list(LEGACY), proof=["truth"], stage="search",
    trials=TRIALS, repeats=REPEATS, rerounded=1, margin=0.01, top=TOP, space=SPACE, seed=42,
    band=Band(best=[0.9, 1.0], median=[0.99, 1.0], test=[0.5, 1.0], difference=[-0.01, 0.01]),
)  # fmt: skip
ROUNDING = {
    "outcome": "passed", "reasons": [], "trials": 60, "mean_difference": 0.0006,
    "low": -0.0014, "high": 0.0026, "top_overlap": 8, "top": 10, "networks": 12,
    "share": 0.04, "share_low": 0.03, "share_high": 0.06,
    "cosine": 0.9995, "cosine_worst": 0.9981, "cosine_of_exact_worst": 0.9972,
}  # fmt: skip
GATE = {"solver": "economy", "outcome": "passed", "passed": True, "reasons": [], "survives": True,
        "roundings": [ROUNDING, ROUNDING | {"trials": 59}]}  # fmt: skip
FAILED = GATE | {
    "solver": "plain", "outcome": "failed", "passed": False, "reasons": ["share 0.3 is above 0.1"],
    "survives": False, "roundings": [ROUNDING | {"outcome": "failed"}, ROUNDING],
}  # fmt: skip


def gradient() -> pd.DataFrame:
    """Errors that fall as beta and as its square."""
    beta = np.array([1.0, 0.1, 0.01])
    kinds = {"one_sided": beta / 2, "centred": beta**2 / 4}
    parts = [
        pd.DataFrame({"beta": beta, "difference": kind, "error": error, "cosine": 1 - error / 2})
        for kind, error in kinds.items()
    ]
    return pd.concat(parts, ignore_index=True)


def training(arm: str, rule: str, plan: pd.DataFrame, solver: str, **columns) -> pd.DataFrame:
    """A row per point of a plan; accuracies depend on the learning rate, width and arm."""
    rng = np.random.default_rng([ord(letter) for letter in arm + rule])
    fixed = rule != "bp" and arm not in LEGACY
    late = [(rng.random(SAMPLES) < 0.9 - 0.4 * (lr < 1e-3)).astype(float) for lr in plan["lr"]]
    seconds = plan["hidden"] / 64 * (0.1 if rule == "bp" else 1.0)
    table = {
        "study": "tep_bp", "arm": arm, "stage": "search", "rule": rule, "status": "ok",
        "val_accuracy": 0.97 - 0.4 * (plan["lr"] < 1e-3) - 0.05 * rng.random(len(plan)),
        "late_accuracy": [hits.mean() for hits in late], "late_hits": [list(h) for h in late],
        "val_loss": 0.1, "solver": solver if fixed else "none", "epochs": 30,
        "n_parameters": 75 * plan["hidden"], "n_steps": 500, "flops": 1e7 * seconds,
        "residual_free": 1e-4 * plan["hidden"] if fixed else np.nan,
        "residual_free_max": 1e-3 if fixed else np.nan,
        "residual_nudged": 2e-4 if rule == "tep" and fixed else np.nan,
        "spectral_norm": 0.9 if fixed else np.nan,
        "nudged_bound": 0.9 + 0.2 * (plan["hidden"] > 64) if rule == "tep" and fixed else np.nan,
        "fit_s": seconds, "cpu_s": seconds, "data_s": 0.1 * seconds, "free_s": 0.4 * seconds,
        "nudged_s": 0.3 * seconds, "update_s": 0.1 * seconds, "evaluate_s": 0.1 * seconds,
        "threads": 1, "device": "cpu",
    }  # fmt: skip
    return plan.assign(**(table | columns))


def repeated(results: pd.DataFrame, rule: str) -> pd.DataFrame:
    """Rows of the re-evaluation of the best three trials of a rule, and from re-rounded weights."""
    best = chosen(results, TOP, SPACE, rule)
    parts = [_repeated(best, rule, rounding) for rounding in range(2)]
    return pd.concat(parts, ignore_index=True)


def _repeated(best: pd.DataFrame, rule: str, rounding: int) -> pd.DataFrame:
    rng = np.random.default_rng([rounding, *(ord(letter) for letter in rule)])
    rows, stage = [], "repeat-1" if rounding else "repeat"
    for rank, (_, row) in enumerate(best.iterrows()):
        for repeat in range(REPEATS):
            hits = (rng.random(SAMPLES) < 0.95).astype(int)
            own = {"stage": stage, "trial": rank * REPEATS + repeat, "chosen": row["trial"],
                   "rank": rank, "repeat": repeat, "hits": hits.tolist(), "seed": repeat,
                   "test_accuracy": hits.mean(), "val_accuracy": np.nan, "late_hits": None,
                   "val_loss": np.nan}  # fmt: skip
            rows.append(row.to_dict() | own)
    return pd.DataFrame(rows)


def runs() -> pd.DataFrame:
    """All rows: three rules, the reference on half of the trials, five legacy arms."""
    plan = trials(SPACE, "sobol", TRIALS, 42)
    parts = [training("gated", rule, plan, "economy") for rule in RULES]
    parts += [repeated(part, rule) for part, rule in zip(list(parts), RULES, strict=True)]
    parts += [training("reference", rule, plan[:16], "plain") for rule in RULES]
    narrow = plan[plan["hidden"] <= 64][:12]
    # Batch size matters to the first arm only, which has the fault that makes it matter.
    for place, arm in enumerate(LEGACY):
        accuracy = 0.9 - 0.002 * narrow["batch"] * (place == 0) + 0.01 * place
        parts.append(training(arm, "tep", narrow, "plain", val_accuracy=accuracy))
    return pd.concat(parts, ignore_index=True)


def searched(rows: pd.DataFrame, rule: str = "tep", arm: str = "gated") -> pd.DataFrame:
    """Trials of the search of a rule and arm."""
    return rows[(rows["arm"] == arm) & (rows["rule"] == rule) & (rows["stage"] == "search")]


def outcome(rows: pd.DataFrame | None = None, gate: dict = GATE, **spec) -> dict[str, pd.DataFrame]:
    """All tables by name."""
    return all_tables(changed(SPEC, **spec), runs() if rows is None else rows, gate, gradient())
