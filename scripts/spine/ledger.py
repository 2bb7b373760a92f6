"""Ratios of the measured contestants (ratios.csv) and the verdict on every claim (ledger.csv).

Both hold claimed or measured factors as `slower / faster`; a factor is printed only where
`scripts.lib.comparison` allows it.
"""

from pathlib import Path

import pandas as pd

from scripts.lib.agreement import verdicts
from scripts.lib.comparison import (
    CACHED,
    NOT_MEASURED,
    Comparison,
    compare,
    equality,
    pairs_to_show,
    protocol_change,
    verdict_on_claim,
)
from scripts.lib.stage import arguments
from scripts.lib.tables import write_csv

# Claims that are about the answer, not about its cost.
OF_ANSWERS = {"equality": equality, "protocol": protocol_change}


def verdicts_for(part: pd.DataFrame, agreement: pd.DataFrame) -> dict:
    """Agreement verdicts that count for a workload: those of its part of the study."""
    where = part["where"].iloc[0] if len(part) else ""
    return verdicts(agreement, where)


def study_ratios(
    study: str, measured: pd.DataFrame, agreement: pd.DataFrame, options: dict
) -> list[dict]:
    """Rows of ratios.csv for one study: every workload, shown pair and quantity.

    A traced workload has memory only: tracing distorts its times.
    """
    again = (options["baseline"], options["baseline_again"])
    rows = []
    for workload, part in measured.groupby("workload", sort=False):
        traced = part["tensor_peak_mb"].notna().all()
        quantities = ("tensor_peak_mb",) if traced else ("wall_s", "fit_s", "cpu_s", "rss_mb")
        for slower, faster in pairs_to_show(part, options["baseline"]):
            for quantity in quantities:
                allowed = verdicts_for(part, agreement)
                found = compare(part, slower, faster, quantity, allowed, again)
                labels = {"study": study, "workload": workload, "where": part["where"].iloc[0]}
                labels |= {"quantity": quantity}
                rows.append(labels | {"slower": slower, "faster": faster} | found.columns())
    return rows


def judge(claim: dict, tables: dict, options: dict) -> dict:
    """A row of ledger.csv: the claim with what was measured of it and the verdict."""
    study, found = claim["study"], Comparison(NOT_MEASURED, "no arm for it yet")
    if study in tables and claim["kind"] == "cache":
        # Not doing the work is no faster way of doing it: no ratio stands for it.
        found = Comparison(CACHED, "a second run of the workflow executes no job")
    elif study in tables and claim["slower"]:
        measured, agreement = tables[study]
        again = (options[study]["baseline"], options[study]["baseline_again"])
        part = measured[measured["workload"] == claim["workload"]]
        names = (claim["slower"], claim["faster"], claim["quantity"])
        if claim["kind"] in OF_ANSWERS:
            found = OF_ANSWERS[claim["kind"]](agreement, claim["faster"])
        else:
            found = compare(part, *names, verdicts_for(part, agreement), again)
    factor = float(claim["claimed_factor"]) if claim["claimed_factor"] else None
    row = claim | found.columns()
    return row | {"verdict": verdict_on_claim(found, factor, claim["kind"])}


if __name__ == "__main__":
    args = arguments(claims=Path, agreements=[Path], measurements=[Path], ratios=Path, ledger=Path)
    options = {entry["study"]: entry for entry in args.spec}  # in the order of the files
    agreements = [pd.read_csv(path) for path in args.agreements]
    measured = [pd.read_parquet(path) for path in args.measurements]
    tables = dict(zip(options, zip(measured, agreements, strict=True), strict=True))
    ratios = [study_ratios(name, *tables[name], options[name]) for name in options]
    write_csv(args.ratios, [row for rows in ratios for row in rows])
    claims = pd.read_csv(args.claims, dtype=str, keep_default_na=False).to_dict("records")
    write_csv(args.ledger, [judge(claim, tables, options) for claim in claims])
