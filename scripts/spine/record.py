"""Keep what a run found of the claims, with the evidence: `make record RUN=... NAME=...`.

Writes results/records/<date>-<name>/: `ledger.csv` (scripts/lib/records.py), each study's
agreement and measurements, and a README.md with commits and machines, to be completed by hand.
"""

import shutil
import sys
from pathlib import Path

import pandas as pd

from scripts.lib.comparison import CACHED, NOT_MEASURED
from scripts.lib.faults import ConfigError
from scripts.lib.records import COLUMNS, Row
from scripts.lib.root import ROOT
from scripts.lib.table_files import read_metadata, write_frame

EVIDENCE = ("agreement.csv", "measurements.parquet")
README = """# {title}, {date}

Made by `make record` from `{run}`; nothing in it is edited by hand.

* `ledger.csv`: {claims} claims that the run measured, by id.
* `<study>_agreement.csv`, `<study>_measurements.parquet`: what the verdicts follow from.

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
    rows = measured_rows(pd.read_csv(run / "ledger.csv"))
    if rows.empty:
        raise ConfigError(f"{run}/ledger.csv: the run measured no claim, so there is no record.")
    folder = records / f"{rows['date'].max()}-{name}"
    if folder.exists():
        raise ConfigError(f"{folder}: exists; a record is never written over, choose a name.")
    folder.mkdir(parents=True)
    write_frame(folder / "ledger.csv", rows)
    studies = sorted(path.parent for path in run.glob("*/measurements.parquet"))
    for study in studies:
        for file in EVIDENCE:
            shutil.copyfile(study / file, folder / f"{study.name}_{file}")
    machines = "\n".join(_machine(study) for study in studies)
    told: Row = {"title": name.replace("_", " ").capitalize(), "date": rows["date"].max()}
    told |= {"run": run, "claims": len(rows), "machines": machines}
    (folder / "README.md").write_text(README.format(**told), encoding="utf-8")
    return folder


def _machine(study: Path) -> str:
    """A study's line of the record's README."""
    made = read_metadata(study / "measurements.parquet")
    changed = "yes" if made["dirty"] else "no"
    machine = f"{made['processor']}, {made['platform']}"
    return f"| {study.name} | `{made['commit'][:12]}` | {changed} | {machine} |"


if __name__ == "__main__":
    try:
        print(keep(Path(sys.argv[1]), sys.argv[2], ROOT / "results/records"))
    except ConfigError as error:
        sys.exit(str(error))
