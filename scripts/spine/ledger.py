"""Ratios of the measured contestants (ratios.csv) and the verdict on every claim (ledger.csv).

Both hold claimed or measured factors as `slower / faster`; a factor is printed only where
`scripts.lib.comparison` allows it.
"""

from pathlib import Path

import pandas as pd

from scripts.lib.comparison import NOT_MEASURED, Comparison, compare, verdict_on_claim
from scripts.lib.files import replacing
from scripts.lib.stage import arguments


def verdicts(agreement: pd.DataFrame) -> dict[str, tuple[bool, str]]:
    """(passed, reason) per arm from its agreement rows."""
    out = {}
    for arm, rows in agreement.groupby("arm", sort=False):
        failed = rows[rows["passed"].astype(str) == "False"].astype({"note": str})
        reasons = [
            f"{row.metric} ({row.test}) at {row.where}: "
            + ("outside the margin" if row.note in ("", "nan") else row.note)
            for row in failed.itertuples()
        ]
        out[arm] = (failed.empty, "; ".join(reasons))
    return out


def numbers(found: Comparison) -> dict:
    """Columns of a comparison: ratio with interval, A/A interval, what differs, verdict, reason."""
    ratio, noise = found.ratio, found.noise
    return {
        "measured": ratio.value if ratio else None,
        "low": ratio.low if ratio else None,
        "high": ratio.high if ratio else None,
        "repeats": ratio.n if ratio else None,
        "noise_low": noise.low if noise else None,
        "noise_high": noise.high if noise else None,
        "differs_in": found.kind,
        "verdict": found.verdict,
        "reason": found.reason,
    }


def pairs_to_show(measured: pd.DataFrame, baseline: str) -> list[tuple[str, str]]:
    """(slower, faster) contestants of one workload that a reader wants to see compared.

    The baseline against everyone; every arm on many workers against the same arm on one (what
    parallelism gives) and against the baseline's arm on as many (what the implementation gives).
    """
    first = measured.drop_duplicates("contestant").set_index("contestant")
    shown = [(baseline, name) for name in first.index if name != baseline]
    many = first[first["workers"] > 1]
    for name, row in many.iterrows():
        alone = first[(first["arm"] == row["arm"]) & (first["workers"] == 1)]
        alone = alone[alone["threads"] == row["threads"]].index[:1]
        rivals = many[many["arm"] == first.loc[baseline, "arm"]].index
        pairs = [(other, name) for other in [*alone, *rivals] if other != name]
        shown += [pair for pair in pairs if pair not in shown]
    return shown


def study_ratios(study: str, measured: pd.DataFrame, agreement: dict, options: dict) -> list[dict]:
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
                found = compare(part, slower, faster, quantity, agreement, again)
                labels = {"study": study, "workload": workload, "quantity": quantity}
                rows.append(labels | {"slower": slower, "faster": faster} | numbers(found))
    return rows


def judge(claim: dict, tables: dict, options: dict) -> dict:
    """A row of ledger.csv: the claim with what was measured of it and the verdict."""
    study, found = claim["study"], Comparison(NOT_MEASURED, "no arm for it yet", "", None, None)
    if study in tables and claim["slower"]:
        measured, agreement = tables[study]
        again = (options[study]["baseline"], options[study]["baseline_again"])
        part = measured[measured["workload"] == claim["workload"]]
        names = (claim["slower"], claim["faster"], claim["quantity"])
        found = compare(part, *names, agreement, again)
    factor = float(claim["claimed_factor"]) if claim["claimed_factor"] else None
    row = claim | numbers(found)
    return row | {"verdict": verdict_on_claim(found, factor, claim["kind"])}


def write_csv(rows: list[dict], path: Path) -> None:
    """Write rows as CSV in one step."""
    with replacing(path) as temporary:
        pd.DataFrame(rows).to_csv(temporary, index=False)


if __name__ == "__main__":
    args = arguments(claims=Path, agreements=[Path], measurements=[Path], ratios=Path, ledger=Path)
    options = args.spec
    agreements = [verdicts(pd.read_csv(path)) for path in args.agreements]
    measured = [pd.read_parquet(path) for path in args.measurements]
    tables = dict(zip(options, zip(measured, agreements, strict=True), strict=True))
    ratios = [study_ratios(name, *tables[name], options[name]) for name in options]
    write_csv([row for rows in ratios for row in rows], args.ratios)
    claims = pd.read_csv(args.claims, dtype=str, keep_default_na=False).to_dict("records")
    write_csv([judge(claim, tables, options) for claim in claims], args.ledger)
