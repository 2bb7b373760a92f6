"""One self-contained page from the tables of all studies: report.html (words: workflow/report/)."""

from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader

from scripts.lib.figures import phase_seconds, replication_panels, stacked_shares
from scripts.lib.files import replacing
from scripts.lib.job import JOB
from scripts.lib.page import costs, extras, nested, only, records, shown, twins
from scripts.lib.stage import ALLOCATOR, stage
from scripts.lib.table_files import read_frame, read_metadata

Told = dict[str, Any]  # of one study, for the templates
STAMPED = ("runs", "measurements")  # tables whose provenance the page names


def chapter(told: Told, ratios: pd.DataFrame, tables: dict[str, Path], own: list[Path]) -> Told:
    """What the page says of one study: `tables` by name, `own`: its own files for the page."""
    study, arm, reference = told["study"], told["arm"], told["reference"]
    runs = pd.read_parquet(tables["runs"])
    measured = pd.read_parquet(tables["measurements"])
    summary, agreement = read_frame(tables["summary"]), read_frame(tables["agreement"])
    ratios, wanted = ratios[ratios["study"] == study], told["only"]
    units = runs.value_counts(["arm", "device", "status"], sort=False, dropna=False)
    seconds = phase_seconds(measured, told["phases_of"], told["phases"])
    cores = measured["workers"] * measured["threads"]
    cells = summary[summary["arm"] == arm]
    cells = only(cells, {axis: value for axis, value in wanted.items() if axis in cells})
    return told | extras(own) | {
        "sources": {tables[name].name: read_metadata(tables[name]) for name in STAMPED},
        "units": records(units.reset_index()), "costs": costs(measured),
        "jobs": read_frame(tables["jobs"]).sum(numeric_only=True).to_dict(),
        "measured_s": (measured["wall_s"] * measured["inner_repeats"]).sum(),
        "allocator": ALLOCATOR,
        "load": measured["load_before"].agg(["min", "max"]).to_dict() | {"cores": cores.max()},
        "cells": nested(cells, told["axes"][:-1], "metric"),
        "agreement": records(agreement), "bars": stacked_shares(seconds),
        "twins": twins(runs, told["axes"], reference), "seconds": records(seconds.reset_index()),
        "ratios": nested(ratios, ["workload", "slower", "faster"], "quantity"),
        "panels": replication_panels(only(runs, wanted), [arm, reference], **told["figure"]),
    }  # fmt: skip


def of_study(paths: list[Path], study: str) -> list[Path]:
    """Files of a study, which lie in the folder of its name."""
    return [path for path in paths if JOB.below(str(path)).startswith(f"{study}/")]


def main(
    spec: list, template: Path, ratios: Path, ledger: Path, peers: Path, tables: list[Path],
    chapters: list[Path], page: Path,
) -> None:  # fmt: skip
    compared, others = read_frame(ratios), read_frame(peers)
    studies = []
    for told in spec:
        named = {path.stem: path for path in of_study(tables, told["study"])}
        studies.append(chapter(told, compared, named, of_study(chapters, told["study"])))
        studies[-1]["peers"] = records(others[others["study"] == told["study"]])
    words = FileSystemLoader(template.parent)
    env = Environment(loader=words, autoescape=True, finalize=shown, trim_blocks=True)
    claims = records(read_frame(ledger))
    text = env.get_template(template.name).render(studies=studies, ledger=claims)
    with replacing(page) as temporary:
        temporary.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    stage(main)
