"""Tables of cost: stages.csv (measured per adapter, and a model of larger data sets), svd.csv
(ways to singular values by rank), repairs.csv (what each repair of the original changes)."""

from operator import itemgetter
from pathlib import Path
from typing import Any

import pandas as pd

from scripts.lib.stage import stage
from scripts.lib.table_files import write_csv
from scripts.lora_ablation.specs import COUNTERS, CostsJob

Row = dict[str, Any]
TRAIN_SHARE = 0.7  # of the adapters, as split


def per_unit(measured: pd.DataFrame, workload: str, counter: str, order: list[str]) -> pd.Series:
    """Median seconds of work per counted unit, by contestant in this order."""
    rows = measured[measured["workload"] == workload]
    cost = (rows["fit_s"] / rows[counter]).groupby(rows["contestant"]).median()
    return cost[[name for name in order if name in cost]]


def arm_of(measured: pd.DataFrame) -> pd.Series:
    """The arm of each contestant."""
    return measured.drop_duplicates("contestant").set_index("contestant")["arm"]


def stage_rows(measured: pd.DataFrame, runs: pd.DataFrame, job: CostsJob) -> list[Row]:
    """A row per stage, contestant and number of adapters: modelled seconds on one core.

    Model: load and features are linear in the adapters; training is the measured seconds per step
    times steps per epoch, the epochs of this run's result arm, cells and runs.
    """
    trained = runs[(runs["arm"] == job.arm) & (runs["stage"] == "train")]
    epochs, arms = trained["n_epochs"].mean(), arm_of(measured)
    rows = []
    for part, counter in COUNTERS.items():
        if part not in job.stages:  # no workload with this work
            continue
        for name, cost in per_unit(measured, job.stages[part], counter, job.contestants).items():
            for adapters in job.adapters:
                times = adapters
                if part == "load" and arms[name] != job.arm:
                    times *= job.passes
                if counter == "n_steps":
                    steps = TRAIN_SHARE * adapters / job.batch
                    times = steps * epochs * job.cells * job.runs
                row = {"stage": part, "contestant": name, "per": counter, "cost_ms": 1000 * cost}
                rows.append(row | {"adapters": adapters, "model_s": cost * times})
    return rows


def svd_rows(measured: pd.DataFrame, runs: pd.DataFrame, job: CostsJob) -> list[Row]:
    """A row per rank and contestant: microseconds per matrix and its arm's largest errors."""
    rows, arms, errors = [], arm_of(measured), ["sigma_error", "deviation"]
    for workload, rank in sorted(job.ranks.items(), key=itemgetter(1)):
        where = measured.loc[measured["workload"] == workload, "where"].unique()
        at = runs[runs["stage"].isin(where) & (runs["representation"] == "spectral")]
        worst = at.groupby("arm")[errors].max().reindex(arms.unique())
        for name, cost in per_unit(measured, workload, "n_matrices", job.contestants).items():
            row = {"rank": rank, "contestant": name, "us_per_matrix": 1e6 * cost}
            rows.append(row | worst.loc[arms[name]].to_dict())
    return rows


def repair_rows(runs: pd.DataFrame, job: CostsJob) -> list[Row]:
    """A row per undone repair and cell: mean test accuracy of the same runs with and without it."""
    cell = ["representation", "layers"]
    ok = runs[(runs["stage"] == "train") & (runs["status"] == "ok")]
    right = ok[ok["arm"] == job.arm]
    rows = []
    for arm, repair in job.repairs:
        both = right.merge(ok[ok["arm"] == arm], on=[*cell, "share", "run"], suffixes=("", "_old"))
        for key, part in both.groupby(cell, sort=False):
            new, old = part["test_accuracy"].mean(), part["test_accuracy_old"].mean()
            row = {"repair": repair, "cell": "/".join(key)}
            row |= {"accuracy_repaired": new, "accuracy_legacy": old, "difference": old - new}
            rows.append(row | {"note": f"{len(part)} runs, same split and seeds"})
    return rows


def main(
    spec: CostsJob, runs: Path, measurements: Path, stages: Path, svd: Path, repairs: Path
) -> None:
    rows, measured = pd.read_parquet(runs), pd.read_parquet(measurements)
    write_csv(stages, stage_rows(measured, rows, spec))
    write_csv(svd, svd_rows(measured, rows, spec))
    write_csv(repairs, repair_rows(rows, spec))


if __name__ == "__main__":
    stage(main)
