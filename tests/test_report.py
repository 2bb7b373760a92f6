"""The page opens offline, prints slowdowns and refusals, and its shares add up."""

import re

import pandas as pd
import pytest

PHASES = ["data", "noise", "forward", "loss", "backward", "optimizer", "bookkeeping"]


def page_after(project, **changes) -> str:
    """The page made again after the first compared pair of ratios.csv was changed."""
    path = project.folder / "results/ratios.csv"
    ratios = pd.read_csv(path).astype({"reason": object})
    row = (ratios["slower"] == "reference") & (ratios["faster"] == "antithetic")
    for column, value in changes.items():
        ratios.loc[row, column] = value
    ratios.to_csv(path, index=False)
    done = project.snakemake()
    assert done.returncode == 0, done.stderr + done.stdout
    return (project.folder / "results/report.html").read_text()


def test_the_page_needs_nothing_from_outside(finished):
    page = (finished.folder / "results/report.html").read_text()
    assert re.findall(r"<script|<link|<iframe|@import|url\((?!#)", page) == []
    assert re.findall(r'(?:src|href)="(?!#)[^"]*"', page) == []
    assert page.count("<svg") == 3  # two laws, one bar chart


def test_a_slowdown_is_printed_as_one(finished):
    page = page_after(finished, verdict="more", measured=0.5, low=0.45, high=0.55, reason=None)
    assert "a slowdown" in page
    assert "<strong>0.500</strong>" in page


def test_a_refused_ratio_is_words_and_no_number(finished):
    reason = "thread counts differ (1 and 2)"
    page = page_after(finished, verdict="not comparable", measured=None, low=None, reason=reason)
    headline = page[page.index('id="headline"') : page.index('id="engression"')]
    assert f"not comparable: {reason}" in headline
    assert "<strong>" not in headline


def test_phases_are_exclusive_and_add_up_to_the_training_time(finished):
    measured = pd.read_parquet(finished.folder / "results/engression/measurements.parquet")
    parts = measured[[f"{phase}_s" for phase in PHASES]].sum(axis=1)
    assert parts.to_numpy() == pytest.approx(measured["fit_s"].to_numpy(), abs=1e-9)


def test_markup_in_a_title_stays_text(finished):
    title = "title: Engression replications"
    finished.edit("config/engression.yaml", title, "title: '<b>bold</b> & co'")
    assert finished.jobs() == {"report": 1}
    done = finished.snakemake()
    assert done.returncode == 0, done.stderr + done.stdout
    page = (finished.folder / "results/report.html").read_text()
    assert "&lt;b&gt;bold&lt;/b&gt; &amp; co" in page
    assert "<b>bold" not in page


def test_every_claim_stands_in_the_ledger_with_a_verdict(finished):
    claims = pd.read_csv(finished.folder / "config/claims.csv")
    ledger = pd.read_csv(finished.folder / "results/ledger.csv")
    assert ledger["id"].tolist() == claims["id"].tolist()
    assert len(ledger) == 43
    assert ledger["verdict"].notna().all()
