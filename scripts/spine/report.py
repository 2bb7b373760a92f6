"""One self-contained page from the tables of all studies: report.html (words: workflow/report/)."""

from numbers import Integral, Real
from pathlib import Path

import pandas as pd
from jinja2 import Environment, FileSystemLoader, Undefined

from scripts.lib.figures import phase_seconds, replication_panels, stacked_shares
from scripts.lib.files import replacing
from scripts.lib.stage import arguments
from scripts.lib.tables import read_metadata


def shown(value):
    """What the page prints: three significant digits, an en dash for a missing value."""
    if not isinstance(value, Real):
        return "\N{EN DASH}" if value is None or isinstance(value, Undefined) else value
    return f"{value:,.0f}" if isinstance(value, Integral) or abs(value) >= 100 else f"{value:#.3g}"


def records(table: pd.DataFrame) -> list[dict]:
    """Rows as plain values, None where one is missing."""
    return table.convert_dtypes().astype(object).where(table.notna(), None).to_dict("records")


def nested(table: pd.DataFrame, keys: list[str], column: str) -> list[dict]:
    """For each combination of `keys` its rows, by their value of `column`."""
    return [{r[column]: r for r in records(part)} for _, part in table.groupby(keys, sort=False)]


def costs(measured: pd.DataFrame) -> list[dict]:
    """Medians by workload and contestant, with the number of rounds and the range of `wall_s`."""
    groups = measured.groupby(["workload", "contestant", "arm"], sort=False)
    walls = groups["wall_s"].agg(rounds="count", fastest="min", slowest="max")
    return records(walls.join(groups.median(numeric_only=True)).reset_index())


def twins(runs: pd.DataFrame, axes: list[str], reference: str) -> list[dict]:
    """Per arm and cell: `twin`, the number of finished units that the reference finished too."""
    ok = runs[runs["status"] == "ok"]
    twin = ok.loc[ok["arm"] == reference, axes].assign(twin=1)
    both = ok[ok["arm"] != reference].merge(twin, on=axes, how="left")
    return records(both.groupby(["arm", *axes[:-1]], sort=False)["twin"].count().reset_index())


def chapter(spec: dict, ratios: pd.DataFrame, *paths: Path) -> dict:
    """What the page says of one study; `paths`: runs, summary, agreement, measurements."""
    runs, measured = pd.read_parquet(paths[0]), pd.read_parquet(paths[3])
    summary, agreement = pd.read_csv(paths[1]), pd.read_csv(paths[2])
    study, cores = runs["study"].iloc[0], measured["workers"] * measured["threads"]
    options, ratios = spec[study], ratios[ratios["study"] == study]
    arm, reference = options["arm"], options["reference"]
    units = runs.value_counts(["arm", "device", "status"], sort=False, dropna=False)
    seconds = phase_seconds(measured, options["phases_of"], options["phases"])
    return options | {
        "study": study,
        "sources": {path.name: read_metadata(path) for path in (paths[0], paths[3])},
        "units": records(units.reset_index()), "costs": costs(measured),
        "load": measured["load_before"].agg(["min", "max"]).to_dict() | {"cores": cores.max()},
        "cells": nested(summary[summary["arm"] == arm], options["axes"][:-1], "metric"),
        "agreement": records(agreement), "bars": stacked_shares(seconds),
        "twins": twins(runs, options["axes"], reference), "seconds": records(seconds.reset_index()),
        "ratios": nested(ratios, ["workload", "slower", "faster"], "quantity"),
        "panels": replication_panels(runs, [arm, reference], **options["figure"]),
    }  # fmt: skip


if __name__ == "__main__":
    args = arguments(template=Path, ratios=Path, ledger=Path, runs=[Path], summaries=[Path],
                     agreements=[Path], measurements=[Path], page=Path)  # fmt: skip
    ratios, ledger = pd.read_csv(args.ratios), records(pd.read_csv(args.ledger))
    tables = zip(args.runs, args.summaries, args.agreements, args.measurements, strict=True)
    studies = [chapter(args.spec, ratios, *paths) for paths in tables]
    words = FileSystemLoader(args.template.parent)
    env = Environment(loader=words, autoescape=True, finalize=shown, trim_blocks=True)
    page = env.get_template(args.template.name).render(studies=studies, ledger=ledger)
    with replacing(args.page) as temporary:
        temporary.write_text(page, encoding="utf-8")
