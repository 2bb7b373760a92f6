"""Keep what a run found, with the evidence: `make record RUN=... NAME=...`.

Writes results/records/<date>-<name>/: `ledger.csv` with the claims that were measured, if there are
any about the studies of the run (scripts/lib/records.py), ratios, peers, each study's agreement,
summary, jobs and measurements, and a README.md with commits and machines, to be completed by hand.
"""

import shutil
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from scripts.lib.comparison import CACHED, NOT_MEASURED
from scripts.lib.faults import ConfigError
from scripts.lib.provenance import shortened
from scripts.lib.records import COLUMNS, Row
from scripts.lib.root import ROOT
from scripts.lib.table_files import read_metadata, write_frame

OF_RUN = ("ratios.csv", "peers.csv")
OF_STUDY = ("agreement.csv", "summary.csv", "jobs.csv", "measurements.parquet")
README = """# {title}, {date}

Made by `make record` from `{run}`; nothing in it is edited by hand.

* Claims that the run measured, by id in `ledger.csv`: {claims}.
* The other tables are as the run wrote them; those of a study have its name in front.

| study | commit | uncommitted changes | machine |
|---|---|---|---|
{machines}
"""


def measured_rows(ledger: pd.DataFrame) -> pd.DataFrame:
    """The rows of a run's ledger that the run itself measured, with the columns of a record."""
    own = ledger["date"].notna() & ~ledger["verdict"].isin([NOT_MEASURED, CACHED])
    return ledger.loc[own, list(COLUMNS)]


def keep(run: Path, name: str, records: Path) -> Path:
    """Write the record of a finished run and return its folder; ConfigError if it cannot be."""
    if not (run / "ledger.csv").is_file():
        raise ConfigError(f"{run}: has no ledger.csv; name the results folder of a finished run.")
    ledger = pd.read_csv(run / "ledger.csv")
    rows = measured_rows(ledger) if len(ledger) else ledger
    if rows.empty and len(ledger):
        raise ConfigError(f"{run}/ledger.csv: the run measured no claim, so there is no record.")
    studies = sorted(path.parent for path in run.glob("*/measurements.parquet"))
    made = {study.name: read_metadata(study / "measurements.parquet") for study in studies}
    date = max(about["date"] for about in made.values())
    folder = records / f"{date}-{name}"
    if folder.exists():
        raise ConfigError(f"{folder}: exists; a record is never written over, choose a name.")
    folder.mkdir(parents=True)
    if len(rows):
        write_frame(folder / "ledger.csv", rows)
    for file in OF_RUN:
        shutil.copyfile(run / file, folder / file)
    for study in studies:
        for file in OF_STUDY:
            shutil.copyfile(study / file, folder / f"{study.name}_{file}")
    told: Row = {"title": name.replace("_", " ").capitalize(), "date": date}
    machines = "\n".join(_machine(study, about) for study, about in made.items())
    told |= {"run": run, "claims": len(rows), "machines": machines}
    (folder / "README.md").write_text(README.format(**told), encoding="utf-8")
    return folder


def _machine(study: str, made: dict[str, Any]) -> str:
    """A study's line of the record's README."""
    changed = "yes" if made["dirty"] else "no"
    machine = f"{made['processor']}, {made['platform']}"
    return f"| {study} | `{shortened(made['commit'])}` | {changed} | {machine} |"


if __name__ == "__main__":
    try:
        print(keep(Path(sys.argv[1]), sys.argv[2], ROOT / "results/records"))
    except ConfigError as error:
        sys.exit(str(error))
