"""A study's chapter from made-up tables, as values and as the page prints it."""

import importlib
import re
from collections.abc import Mapping
from html import unescape

import pandas as pd

from scripts.lib.code import ROOT
from scripts.lib.page import records
from scripts.lib.page_figures import drawing
from scripts.lib.page_study import Said, Told
from scripts.spine.chapters import Chapter
from scripts.spine.proofs import Controls, Proof
from scripts.spine.report import chapter_page, environment

FOLDER = ROOT / "workflow/report"
ENVIRONMENT = environment(FOLDER)  # which compiles each template once
COMMON = ("reading", "units", "cells", "agreement", "controls", "cost", "packages", "phases")
FIGURE = {"metric": "m", "label": "m", "panel": "p", "x": "x"}


def told(study: str, tables: Mapping[str, pd.DataFrame] | None = None, **known) -> Told:
    """A study as its chapter is told of it."""
    rows = {name: records(table) for name, table in (tables or {}).items()}
    report = {"figure": FIGURE, "table": [], "phases": [], "phases_of": "w"}
    known = {"arm": "result", "reference": "reference", "report": report} | known
    return Told(study, tables=rows, **known)


def said(study: Told) -> Said:
    """What the study's own chapter says."""
    return importlib.import_module(f"scripts.{study.study}.chapter").say(study)


def chapter_of(study: Told, figures: Mapping[str, str] | None = None) -> Chapter:
    """Its chapter, without what the spine adds."""
    found = said(study)
    empty = {name: study.table(name, [], [], "nowhere") for name in COMMON}
    drawn = {
        name: drawing(f"{study.study}-{name}", svg, study.labels, "nowhere")
        for name, svg in (figures or {}).items()
        if svg
    }
    return Chapter(
        told=study, title="A title", baseline="reference", findings=found.findings,
        alarms=found.alarms, headline=None, headlines=[], proof=Proof("untested"),
        controls=Controls(),
        refused={}, contended=False, load={}, jobs={}, measured_s=0.0, sources={},
        tables=empty | {"reading": study.reading()} | found.tables, ratios={}, figures=drawn,
        panels=[], limits=found.limits, facts=found.facts,
    )  # fmt: skip


def rendered(study: Told, figures: Mapping[str, str] | None = None) -> str:
    """The chapter as the page includes it."""
    return str(chapter_page(ENVIRONMENT, FOLDER, chapter_of(study, figures)))


def assert_sound(text: str) -> None:
    """Elements are closed, nothing is undefined, and rows have as many cells as the head."""
    for tag in ("table", "figure", "div", "p", "dl", "dd", "ul", "li", "tr", "td", "th", "span",
                "strong", "details", "summary", "section"):  # fmt: skip
        assert len(re.findall(rf"<{tag}[ >]", text)) == text.count(f"</{tag}>"), tag
    read = words(text)
    for wrong in ("Undefined", "None", " nan", "inf ", "True", "False"):
        assert wrong not in read, wrong
    for head, body in re.findall(r"<thead>(.*?)</thead>\s*<tbody>(.*?)</tbody>", text, re.DOTALL):
        for row in re.findall(r"<tr.*?</tr>", body, re.DOTALL):
            assert len(re.findall(r"<t[dh][ >]", row)) == head.count("<th ")
    identities = re.findall(r'\bid="([^"]*)"', text)
    assert len(set(identities)) == len(identities)


def shown_tables(text: str) -> set[str]:
    """Names of the tables on a page, but those of the numbers of figures."""
    return {name for name in re.findall(r'<table id="([^"]*)"', text) if "-values" not in name}


def words(text: str) -> str:
    """What a reader reads, cells divided by bars, without the figures."""
    text = re.sub(r"<svg.*?</svg>", "", text, flags=re.DOTALL)
    text = re.sub(r"</t[dh]>", " | ", text)
    text = re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", "", text)))
    return text.replace("\N{EN DASH}", "-").replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
