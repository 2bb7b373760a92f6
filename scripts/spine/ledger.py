"""Ratios of the measured contestants (ratios.csv) and the verdict on every claim (ledger.csv).

Both hold claimed or measured factors as `slower / faster`; a factor is printed only where
`scripts.lib.comparison` allows it. What this run did not measure has beside it what the newest
record found (columns `record...`), which enters no other column and no ratio.

A claim is about the data of its document. A run on data of the user's own lists the claims of those
of its studies alone that have none.
"""

from pathlib import Path
from typing import Any

import pandas as pd

from scripts.lib.agreement import rows_at, verdicts
from scripts.lib.comparison import (
    CACHED,
    NOT_MEASURED,
    Comparison,
    compare,
    equality,
    pairs_to_show,
    protocol_change,
    quantities,
    verdict_on_claim,
)
from scripts.lib.records import beside, newest
from scripts.lib.stage import stage
from scripts.lib.table_files import read_frame, read_metadata, together, write_csv, write_frame
from scripts.lib.typed import Model
from scripts.lib.workloads import Baselines

Row = dict[str, Any]
Made = dict[str, dict[str, Row]]  # by study and table, what `read_metadata` knows of it
# Claims that are about the answer, not about its cost.
OF_ANSWERS = {"equality": equality, "protocol": protocol_change}


def part_of(workload: pd.DataFrame) -> str:
    """The part of the study whose agreement counts for a workload; "" for all."""
    return workload["where"].iloc[0] if len(workload) else ""


def study_ratios(
    study: str, measured: pd.DataFrame, agreement: pd.DataFrame, compared: Baselines
) -> list[Row]:
    """Rows of ratios.csv for one study: every workload, shown pair and quantity."""
    rows = []
    for workload, part in measured.groupby("workload", sort=False):
        again, where = compared.pair(workload), part_of(part)
        allowed = verdicts(agreement, where)
        # A peer beside another arm has its answer, and so its ratio, in the table of peers.
        shown = part[~part["arm"].isin(compared.apart)]
        for slower, faster in pairs_to_show(shown, again[0]):
            for quantity in quantities(part):
                found = compare(part, slower, faster, quantity, allowed, again, compared.reference)
                labels = {"study": study, "workload": workload, "where": where}
                labels |= {"quantity": quantity}
                rows.append(labels | {"slower": slower, "faster": faster} | found.columns())
    return rows


def judge(claim: Row, tables: dict[str, tuple], compared: dict[str, Baselines]) -> Row:
    """A row of ledger.csv: the claim with what was measured of it and the verdict."""
    study, found = claim["study"], Comparison(NOT_MEASURED, "no arm for it yet")
    if study in tables and claim["kind"] == "cache":
        # Not doing the work is no faster way of doing it: no ratio stands for it.
        found = Comparison(CACHED, "a second run of the workflow executes no job")
    elif study in tables and claim["slower"]:
        measured, agreement = tables[study]
        again = compared[study].pair(claim["workload"])
        part = measured[measured["workload"] == claim["workload"]]
        names = (claim["slower"], claim["faster"], claim["quantity"])
        if claim["kind"] in OF_ANSWERS:
            found = OF_ANSWERS[claim["kind"]](agreement, claim["faster"])
        else:
            found = compare(
                part, *names, verdicts(agreement, part_of(part)), again, compared[study].reference
            )
    factor = float(claim["claimed_factor"]) if claim["claimed_factor"] else None
    row = claim | found.columns()
    return row | {"verdict": verdict_on_claim(found, factor, claim["kind"])}


def pairs_behind(claim: Row, measured: pd.DataFrame, agreement: pd.DataFrame) -> int | None:
    """Fewest pairs of a test that the claim's verdict rests on; None where none was needed."""
    part = measured[measured["workload"] == claim["workload"]]
    sides = part[part["contestant"].isin([claim["slower"], claim["faster"]])]
    arms = set(sides["arm"]) or {claim["faster"]}
    rows = rows_at(agreement, part_of(part))
    rows = rows[rows["arm"].isin(arms) & (rows["test"] != "reported")]
    counts = rows["n_pairs"].dropna()
    return int(counts.min()) if len(counts) else None


def complete(row: Row, tables: dict[str, tuple], made: Made, recorded: dict[str, Row]) -> Row:
    """A judged claim with pairs, date and machine; with its record where it was not measured.

    A claim without an arm needs what this machine has not; where part of it has one, that part is
    judged as any claim.
    """
    row = row | dict.fromkeys(("pairs", "date", "machine"))
    known = beside(row, recorded if row["verdict"] == NOT_MEASURED else {})
    if row["verdict"] != NOT_MEASURED:
        answers = row["kind"] in (*OF_ANSWERS, "cache")
        told = made[row["study"]]["runs" if answers else "measurements"]
        row["pairs"] = pairs_behind(row, *tables[row["study"]])
        row |= {"date": told["date"], "machine": f"{told['processor']}, {told['platform']}"}
    elif row["needs"] and not row["slower"]:
        row |= {"verdict": f"needs {row['needs']}", "reason": ""}
    return row | known


class Told(Model):
    """What the ratios of a study are about, and which data of the user's own it has."""

    baselines: Baselines
    own_data: list[str]


def listed(claims: list[Row], studies: dict[str, Told]) -> list[Row]:
    """The claims that the run is about: all, if each of its studies has some, on their data."""
    claimed = {claim["study"] for claim in claims}
    fitting = {name for name, told in studies.items() if name in claimed and not told.own_data}
    if fitting == studies.keys():
        return claims
    return [claim for claim in claims if claim["study"] in fitting]


def main(
    spec: dict[str, Any], claims: Path, agreements: list[Path], measurements: list[Path],
    runs: list[Path], records: list[Path], ratios: Path, ledger: Path,
) -> None:  # fmt: skip
    studies = {name: Told.model_validate(told) for name, told in spec.items()}
    compared = {name: told.baselines for name, told in studies.items()}
    measured = {path.parent.name: pd.read_parquet(path) for path in measurements}
    agreed = {path.parent.name: read_frame(path) for path in agreements}
    tables = {study: (measured[study], agreed[study]) for study in measured}
    rows = [study_ratios(study, *tables[study], compared[study]) for study in tables]
    write_csv(ratios, [row for part in rows for row in part])
    told = pd.read_csv(claims, dtype=str, keep_default_na=False).to_dict("records")
    made: Made = {study: {} for study in tables}
    for path in [*runs, *measurements]:
        made[path.parent.name][path.stem] = read_metadata(path)
    recorded = newest(records)
    judged = [judge(claim, tables, compared) for claim in listed(told, studies)]
    rows = [complete(row, tables, made, recorded) for row in judged]
    if rows:
        write_csv(ledger, rows)
    else:
        write_frame(ledger, together([], list(told[0])))


if __name__ == "__main__":
    stage(main)
