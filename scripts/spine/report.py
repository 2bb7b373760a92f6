"""One self-contained page from the tables of all studies: report.html (words: workflow/report/)."""

from itertools import islice
from pathlib import Path

import pandas as pd
from jinja2 import Environment, FileSystemLoader

from scripts.lib.figures import phase_seconds, replication_panels, stacked_shares
from scripts.lib.files import replacing
from scripts.lib.page import costs, extras, nested, only, records, shown, twins
from scripts.lib.stage import arguments
from scripts.lib.tables import read_metadata


def chapter(options: dict, ratios: pd.DataFrame, own: list[Path], *paths: Path) -> dict:
    """What the page says of one study; `own`: its own files for the page; `paths`: runs, summary,
    agreement, measurements, jobs."""
    runs, measured = pd.read_parquet(paths[0]), pd.read_parquet(paths[3])
    summary, agreement = pd.read_csv(paths[1]), pd.read_csv(paths[2])
    study, cores = runs["study"].iloc[0], measured["workers"] * measured["threads"]
    ratios = ratios[ratios["study"] == study]
    arm, reference, wanted = options["arm"], options["reference"], options.get("only", {})
    units = runs.value_counts(["arm", "device", "status"], sort=False, dropna=False)
    seconds = phase_seconds(measured, options["phases_of"], options["phases"])
    cells = summary[summary["arm"] == arm]
    cells = only(cells, {axis: value for axis, value in wanted.items() if axis in cells})
    return options | extras(own) | {
        "study": study,
        "sources": {path.name: read_metadata(path) for path in (paths[0], paths[3])},
        "units": records(units.reset_index()), "costs": costs(measured),
        "jobs": pd.read_csv(paths[4]).sum(numeric_only=True).to_dict(),
        "measured_s": measured["wall_s"].sum(),
        "load": measured["load_before"].agg(["min", "max"]).to_dict() | {"cores": cores.max()},
        "cells": nested(cells, options["axes"][:-1], "metric"),
        "agreement": records(agreement), "bars": stacked_shares(seconds),
        "twins": twins(runs, options["axes"], reference), "seconds": records(seconds.reset_index()),
        "ratios": nested(ratios, ["workload", "slower", "faster"], "quantity"),
        "panels": replication_panels(only(runs, wanted), [arm, reference], **options["figure"]),
    }  # fmt: skip


if __name__ == "__main__":
    args = arguments(template=Path, ratios=Path, ledger=Path, runs=[Path], summaries=[Path],
                     agreements=[Path], measurements=[Path], jobs=[Path], chapters=[Path],
                     page=Path)  # fmt: skip
    ratios, ledger = pd.read_csv(args.ratios), records(pd.read_csv(args.ledger))
    tables = zip(args.runs, args.summaries, args.agreements, args.measurements, args.jobs,
                 strict=True)  # fmt: skip
    own = iter(args.chapters)
    studies = [
        chapter(options, ratios, list(islice(own, options["chapter"])), *paths)
        for options, paths in zip(args.spec, tables, strict=True)
    ]
    words = FileSystemLoader(args.template.parent)
    env = Environment(loader=words, autoescape=True, finalize=shown, trim_blocks=True)
    page = env.get_template(args.template.name).render(studies=studies, ledger=ledger)
    with replacing(args.page) as temporary:
        temporary.write_text(page, encoding="utf-8")
