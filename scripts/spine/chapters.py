"""A study's chapter as values: what was found, at which cost, with which proof and limits.

Everything that is decided is decided here or in the study's own chapter.py; templates put it down.
"""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from scripts.lib.figures import phase_seconds, replication_panels, stacked_shares
from scripts.lib.numerals import plain
from scripts.lib.page import costs, extras, nested, only, records, twins
from scripts.lib.page_figures import Drawing, drawing
from scripts.lib.page_study import Alarm, Finding, Said, Told
from scripts.lib.page_tables import Row, Table
from scripts.lib.root import ROOT
from scripts.lib.sections import in_words
from scripts.lib.table_files import read_frame, read_metadata
from scripts.spine import common_tables, ratio_tables
from scripts.spine.headlines import (
    TOO_WEAK,
    Headline,
    cost_told,
    headlines,
    held_back,
    refused,
)
from scripts.spine.limits import limits
from scripts.spine.proofs import Controls, Proof, controls_of, proof_of

STAMPED = ("runs", "measurements")  # tables whose provenance the page names
# Processes of others beside a measurement, on average: a whole core. On an idle machine they are
# 0.4 to 0.5, the system's own.
CONTENDED = 1.0


@dataclass(frozen=True)
class Chapter:
    """What the page says of one study; `tables` and `figures` by the names that templates use.

    `headline` stands for the study on the first screen; `headlines` has that of every workload.
    `controls`: what the tests made of wrong twins. `jobs` and `load` are of the whole study.
    """

    told: Told
    title: str
    baseline: str
    findings: Sequence[Finding]
    alarms: Sequence[Alarm]
    headline: Headline | None
    headlines: Sequence[Headline]
    proof: Proof
    controls: Controls
    refused: Mapping[str, str]
    contended: bool
    load: Mapping[str, float]
    jobs: Mapping[str, float]
    measured_s: float
    sources: Mapping[str, Any]
    tables: Mapping[str, Table]
    ratios: Mapping[str, Table]
    figures: Mapping[str, Drawing]
    panels: Sequence[Drawing]
    limits: Sequence[str]
    facts: Mapping[str, Any] = field(default_factory=dict)
    left_out: str = ""

    @property
    def study(self) -> str:
        """Its name, which is its place on the page."""
        return self.told.study

    @property
    def arms(self) -> list[Row]:
        """The arms that computed something, in the words of the configuration."""
        return [arm for arm in self.told.about if arm["name"] in self.told.ran]

    @property
    def settings(self) -> Mapping[str, Any]:
        """The study's own section of the configuration, for numbers in prose."""
        return self.told.settings

    @property
    def cost(self) -> str:
        """What the result costs beside the baseline, in a sentence."""
        return cost_told(self.headline, self.told, self.baseline)

    @property
    def controls_told(self) -> str:
        """How many of the arms that are wrong on purpose its tests found."""
        found, tried = len(self.controls.found), self.controls.tried
        return f"Tests found {found} of {tried} arms that are wrong on purpose." if tried else ""

    @property
    def load_told(self) -> str:
        """How busy the machine was while it was measured."""
        usual, most = plain(self.load["mean"]), plain(self.load["max"])
        cores = f"{self.load['cores']} core{'' if self.load['cores'] == 1 else 's'}"
        return (
            f"Before each measured call {usual} processes of others ran or waited for a core on "
            f"average, at most {most}; the measurement used at most {cores} at once."
        )

    def figure(self, name: str) -> Drawing | None:
        """A figure, if it was drawn."""
        return self.figures.get(name)


def said_by(study: str) -> Callable[[Told], Said]:
    """How a study speaks: its own chapter.py, or what can be said of any summary."""
    if (ROOT / f"scripts/{study}/chapter.py").is_file():
        return importlib.import_module(f"scripts.{study}.chapter").say
    return lambda told: Said(findings=summary_findings(told))


def summary_findings(told: Told) -> list[Finding]:
    """The metric of the study's figure at both ends of its x axis, over its panels."""
    figure = told.report["figure"]
    rows = [row for row in told.cells if row["metric"] == figure["metric"] and row["units"]]
    if not rows:
        return [Finding("Nothing was computed of what the figure shows.", "nothing")]
    x, panel = figure["x"], figure["panel"]
    levels = list(dict.fromkeys(row[x] for row in rows))
    if not isinstance(levels[0], str):
        levels.sort(reverse=True)
    ends = dict.fromkeys([levels[0], levels[-1]])
    parts, widest = [], None
    for level in ends:
        here = sorted((row for row in rows if row[x] == level), key=lambda row: row["value"])
        outer = here if len(here) == 1 else [here[0], here[-1]]
        widest = widest or outer[-1]
        told_ends = [f"{_measured(row)} ({row[panel]})" for row in outer]
        parts.append(f"{' to '.join(told_ends)} for {in_words(x)} = {level}")
    label = figure["label"][:1].upper() + figure["label"][1:]
    text = f"{label} by {in_words(panel)}, lowest to highest: {'; '.join(parts)} (95 % intervals)."
    found = [widest[key] for key in ("value", "low", "high")]
    return [Finding(text, "estimated", *found)]


def _measured(row: Row) -> str:
    reach = None if row["mcse"] is None else (row["high"] - row["low"]) / 2
    return plain(row["value"]) if reach is None else f"{plain(row['value'])} ± {plain(reach)}"


def chapter(
    spec: Mapping[str, Any], ratios: pd.DataFrame, peers: pd.DataFrame,
    tables: Mapping[str, Path], own: Sequence[Path],
) -> Chapter:  # fmt: skip
    """The chapter of a study: `spec` as its contract tells it, `tables` of the spine by name,
    `own`: its own files for the page."""
    study, arm, reference = spec["study"], spec["arm"], spec["reference"]
    axes, strata, wanted = spec["axes"], spec["strata"], spec["only"]
    runs = pd.read_parquet(tables["runs"])
    measured = pd.read_parquet(tables["measurements"])
    summary = read_frame(tables["summary"])
    of_arm = summary[summary["arm"] == arm]
    of_arm = only(of_arm, {axis: value for axis, value in wanted.items() if axis in of_arm})
    files = extras(own)
    counts = runs.value_counts(["arm", "device", "status"], sort=False, dropna=False)
    told = Told(
        study, arm, reference, about=spec["about"], ran=list(runs["arm"].unique()),
        agreement=records(read_frame(tables["agreement"])), tables=files["tables"],
        cells=records(of_arm), axes=axes, report=spec, settings=spec["settings"],
        labels=spec["labels"], workloads=spec["workloads"],
    )  # fmt: skip
    said = said_by(study)(told)
    pairs = nested(ratios[ratios["study"] == study], ["workload", "slower", "faster"], "quantity")
    both, medians = twins(runs, axes, reference), costs(measured)
    found = headlines(told, pairs, medians, both, spec["baseline"], strata)
    cores = int((measured["workers"] * measured["threads"]).max() if len(measured) else 1)
    load = measured["others_running"].agg(["mean", "max"]).to_dict() | {"cores": cores}
    contended = load["mean"] > CONTENDED
    head = chosen(found, spec["headline"] or spec["phases_of"])
    controls = controls_of(told)
    head = head and held_back(head, told, controls)
    sources = {tables[name].name: read_metadata(tables[name]) for name in STAMPED}
    seconds = phase_seconds(measured, spec["phases_of"], spec["phases"])
    by_cell = nested(of_arm, axes[:-1], "metric")
    panels = replication_panels(only(runs, wanted), [arm, reference], **spec["figure"])
    common = {
        "units": common_tables.units(told, records(counts.reset_index())),
        "cells": common_tables.cells(told, by_cell),
        "agreement": common_tables.agreement(told), "controls": common_tables.controls(told),
        "cost": common_tables.cost(told, medians),
        "reading": told.reading(),
        "packages": common_tables.packages(told, records(peers[peers["study"] == study])),
        "phases": common_tables.phases(told, records(seconds.reset_index())),
    }  # fmt: skip
    svgs = files["figures"] | {"phases": stacked_shares(seconds)}
    measurements = f"{study}/measurements.parquet"
    words = told.labels | {f"{name}: ": f"{is_}: " for name, is_ in told.workloads.items()}
    figures = {
        name: drawing(f"{study}-{name}", svg, words,
                      measurements if name == "phases" else f"{study}/tables/figures.json")
        for name, svg in svgs.items() if svg
    }  # fmt: skip
    return Chapter(
        told, spec["title"], spec["baseline"], said.findings,
        [*said.alarms, *alarms(head, contended, controls)],
        headline=head, headlines=found,
        proof=proof_of(told, both, arm, strata), controls=controls,
        refused=refused(pairs, spec["baseline"]), contended=contended, load=load,
        jobs=read_frame(tables["jobs"]).sum(numeric_only=True).to_dict(),
        measured_s=float((measured["wall_s"] * measured["inner_repeats"]).sum()), sources=sources,
        tables=common | said.tables, ratios=ratio_tables.ratios(told, pairs),
        figures=figures,
        panels=[drawing(f"{study}-panel-{at}", svg, words, f"{study}/runs.parquet")
                for at, svg in enumerate(panels)],
        limits=[*said.limits, *limits(told, both, medians, by_cell, contended, sources)],
        facts=said.facts, left_out=spec["left_out"],
    )  # fmt: skip


def alarms(head: Headline | None, contended: bool, controls: Controls) -> list[Alarm]:
    """What makes a measurement or a proof doubtful."""
    found = []
    if contended:
        text = "Other work was running: times are too long and too variable."
        found.append(Alarm("contended", text))
    tried = f"Of {controls.tried} arms that are wrong on purpose the tests found "
    if controls.passed:
        text = f"{tried}{len(controls.found)}, and {len(controls.passed)} passed all of them."
        found.append(Alarm(TOO_WEAK, text))
    elif controls.undecided:
        text = f"{tried}{len(controls.found)}; for the others there are too few pairs."
        found.append(Alarm("few pairs", text))
    if head and head.contradicts_noise:
        text = (
            "The interval of the reference against itself does not hold 1: this machine is uneven."
        )
        found.append(Alarm("A/A", text))
    return found


def chosen(found: Sequence[Headline], workload: str) -> Headline | None:
    """The headline of this workload, or else the first of a time, or the first."""
    timed = [head for head in found if head.quantity.endswith("_s")]
    wanted = [head for head in found if head.workload == workload]
    return next(iter([*wanted, *timed, *found]), None)
