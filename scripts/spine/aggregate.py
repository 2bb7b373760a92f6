"""Stack a study's run files: runs.parquet, and what they say in all: summary.csv and jobs.csv.

summary.csv has one row per arm, cell and metric, with its Monte Carlo error: kind (mean or
proportion), value, sd, mcse, low and high (95 %), units used, n_not_ok units left out because they
diverged or failed.
jobs.csv has one row per arm: jobs, units, job_cpu_s of the processes that made its run files, and
work_cpu_s, the part that its units account for; the rest is start-up, reading and writing.

On a cluster run files may come from several kinds of processor, whose bits differ: each row of
runs.parquet has the `instruction_set` of its own (scripts/lib/provenance.py), and the metadata list
all `processors`.
"""

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from scripts.lib.provenance import today
from scripts.lib.run_rows import read_runs
from scripts.lib.sections import Summary
from scripts.lib.stage import stage
from scripts.lib.stats import Estimate, mean, mean_share, proportion
from scripts.lib.table_files import read_metadata, write_csv, write_table
from scripts.lib.typed import Model

Notes = list[dict[str, Any]]  # metadata of the run files


def job_costs(notes: Notes, tables: list[pa.Table]) -> list[dict[str, Any]]:
    """Rows of jobs.csv; a job that found units finished already spent less than they took."""
    jobs = pd.DataFrame(
        {
            "arm": table["arm"][0].as_py(),
            "jobs": 1,
            "units": len(table),
            "job_cpu_s": note["job_cpu_s"],
            "work_cpu_s": table["cpu_s"].to_pandas().sum(),
        }
        for note, table in zip(notes, tables, strict=True)
    )
    arms = jobs.groupby("arm", sort=False).sum().reset_index()
    arms["work_cpu_s"] = arms[["work_cpu_s", "job_cpu_s"]].min(axis=1)
    return arms.to_dict("records")


def processors(notes: Notes) -> list[dict[str, Any]]:
    """The kinds of processor that run files come from: its name, instructions and run files."""
    kinds = Counter((note["processor"], note["instruction_set"]) for note in notes)
    return [
        {"processor": name, "instruction_set": instructions, "files": files}
        for (name, instructions), files in kinds.most_common()
    ]


def with_instructions(note: dict[str, Any], table: pa.Table) -> pa.Table:
    """Rows with the digest of the instructions of the processor that computed them."""
    column = pa.repeat(note["instruction_set"], len(table))
    return table.append_column("instruction_set", column)


def columns(estimate: Estimate) -> dict[str, float]:
    """Table columns of an estimate; its count stands in `units`, as `n` may be an axis."""
    return {name: value for name, value in estimate._asdict().items() if name != "n"}


def summarise(
    runs: pd.DataFrame, cell: list[str], summary: Summary, shares: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Estimates with errors per arm and cell, over units with status ok that have the metric.

    Intervals of means of `shares` stay within 0 and 1.
    """
    rows = []
    for key, group in runs.groupby(["arm", *cell], sort=False):
        ok = group[group["status"] == "ok"]
        labels = dict(zip(["arm", *cell], key, strict=True)) | {"n_not_ok": len(group) - len(ok)}
        for metric in [name for name in summary.means if name in ok and ok[name].notna().any()]:
            values = ok[metric].dropna()
            row = {"units": len(values), "metric": metric, "kind": "mean", "sd": values.std(ddof=1)}
            estimate = mean_share if metric in shares else mean
            rows.append(labels | row | columns(estimate(values.to_numpy())))
        for metric in [
            name for name in summary.proportions if name in ok and ok[name].notna().any()
        ]:
            values = ok[metric].dropna()
            row = {"units": len(values), "metric": metric, "kind": "proportion"}
            rows.append(labels | row | columns(proportion(int(values.sum()), len(values))))
    return rows


class AggregateJob(Model):
    """Axes of the study, the metrics of its summary, and those that are shares."""

    axes: list[str]
    summary: Summary
    shares: list[str]


def main(spec: AggregateJob, files: list[Path], runs: Path, summary: Path, jobs: Path) -> None:
    tables = [read_runs(path, spec.axes) for path in files]
    notes = [read_metadata(path) for path in files]
    stacked = [with_instructions(*of_file) for of_file in zip(notes, tables, strict=True)]
    table = pa.concat_tables(stacked, promote_options="permissive")
    write_table(runs, table, date=today(), processors=processors(notes))
    write_csv(summary, summarise(table.to_pandas(), spec.axes[:-1], spec.summary, spec.shares))
    write_csv(jobs, job_costs(notes, tables))
    kinds = {note["instruction_set"] for note in notes}
    if len(kinds) > 1:
        logging.warning("The rows come from %d kinds of processor: their bits differ.", len(kinds))
    logging.info("%d rows from %d run files", len(table), len(files))


if __name__ == "__main__":
    stage(main)
