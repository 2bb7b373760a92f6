"""The page opens offline, prints slowdowns and refusals, and its shares add up."""

import re

import pandas as pd
import pytest

from tests.chapters import assert_sound, shown_tables, words

PHASES = ["data", "noise", "forward", "loss", "backward", "optimizer", "bookkeeping"]


def page_of(project) -> str:
    return (project.folder / "results/report.html").read_text(encoding="utf-8")


def page_after(project, **changes) -> str:
    """The page made again after the first compared pair of ratios.csv was changed."""
    path = project.folder / "results/ratios.csv"
    ratios = pd.read_csv(path).astype({"reason": object})
    row = (ratios["slower"] == "reference") & (ratios["faster"] == "antithetic")
    for column, value in changes.items():
        ratios.loc[row, column] = value
    project.rewrite(path, ratios.to_csv(index=False))
    project.make()
    return page_of(project)


def first_screen(page: str) -> str:
    """What stands before the chapters."""
    return page[page.index('<section class="first"') : page.index('<section class="chapter"')]


def fold(page: str, name: str) -> str:
    """What a fold has, by its place."""
    found = page[page.index(f'<details class="fold" id="{name}">') :]
    return found[: found.find('<details class="fold"', 10)]


def assert_alone(page: str) -> None:
    """The page loads nothing: one script and one style of its own, no image, no outside link."""
    assert page.count("<script>") == len(re.findall("<script", page)) == 1
    assert re.findall(r"<iframe|<img|@import|url\((?!#)", page) == []
    assert re.findall(r'(?:src|href)="(?!#)[^"]*"', page) == ['href="data:,"']


def test_the_page_needs_nothing_from_outside(finished):
    page = page_of(finished)
    assert_alone(page)
    # The first screen's in two widths, two laws, one bar chart.
    assert page.count("<svg") == 2 + 2 + 1
    assert_sound(page)


def test_the_first_screen_has_every_study_its_ratio_its_proof_and_the_ledger(finished):
    page = first_screen(page_of(finished))
    assert page.count("<dt><a href=") == 1
    assert 'aria-label="Cost of the reference over cost of the result"' in page
    ledger = pd.read_csv(finished.folder / "results/ledger.csv")
    assert f"{len(ledger)} claims" in page
    assert {"ledger-told", "ledger-recorded", "ledger-lacking"} & shown_tables(page)


def test_the_end_of_a_run_has_the_words_of_the_first_screen(finished):
    page = words(first_screen(page_of(finished)))
    (row,) = pd.read_csv(finished.folder / "results/headlines.csv").astype(str).to_dict("records")
    assert all(row[key] in page for key in ("title", "workload", "ratio", "proof")), row


def test_a_slowdown_is_printed_as_one(finished):
    page = page_after(finished, verdict="more", measured=0.5, low=0.45, high=0.55, reason=None)
    ratios = fold(page, "engression-ratios")
    assert "a slowdown" in ratios
    assert "0.500 (0.450 to 0.550)" in words(ratios)
    assert "0.500 (0.450 to 0.550)" in page  # of the figure


def test_a_refused_ratio_is_words_and_no_number(finished):
    reason = "thread counts differ (1 and 2)"
    page = page_after(finished, verdict="not comparable", measured=None, low=None, reason=reason)
    assert f"not comparable: {reason}" in words(page)
    assert "no ratio" in first_screen(page)
    assert "antithetic: thread counts" in first_screen(page)
    answer = page[page.index('<div class="answer">') : page.index('<div class="panels">')]
    assert "\N{MULTIPLICATION SIGN}" not in answer


def test_what_is_undecided_is_not_said_to_pass(finished):
    path = finished.results / "agreement.csv"
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    table["passed"] = table["passed"].where(table["test"] == "reported", "true")
    badges = []
    for verdict in ("true", ""):
        table.loc[table["test"] == "not_worse", "passed"] = verdict
        finished.rewrite(path, table.to_csv(index=False))
        finished.make()
        # After what is alarming, the badge of the proof.
        badges += re.findall(r'class="badge (\w+)">[^<]*</span> The arm', page_of(finished))
    assert badges == ["good", "open"]


def test_phases_are_exclusive_and_add_up_to_the_training_time(finished):
    measured = pd.read_parquet(finished.folder / "results/engression/measurements.parquet")
    parts = measured[[f"{phase}_s" for phase in PHASES]].sum(axis=1)
    assert parts.to_numpy() == pytest.approx(measured["fit_s"].to_numpy(), abs=1e-9)


def test_the_time_of_jobs_is_split_into_their_units_and_the_rest(finished):
    jobs = pd.read_csv(finished.results / "jobs.csv").set_index("arm")
    runs = pd.read_parquet(finished.results / "runs.parquet")
    assert jobs["units"].to_dict() == runs["arm"].value_counts().to_dict()
    assert jobs["jobs"].to_dict() == {"reference": 2, "truth": 1, "antithetic": 2, "exact": 1}
    assert jobs["work_cpu_s"].to_numpy() == pytest.approx(
        runs.groupby("arm")["cpu_s"].sum()[jobs.index].to_numpy()
    )
    assert (jobs["job_cpu_s"] > jobs["work_cpu_s"]).all()
    assert "times-table" in shown_tables(page_of(finished))


def test_markup_in_a_title_stays_text(finished):
    title = "title: Engression replications"
    finished.edit("config/engression.yaml", title, "title: '<b>bold</b> & co'")
    assert finished.jobs() == {"report": 1}
    finished.make()
    page = page_of(finished)
    assert "&lt;b&gt;bold&lt;/b&gt; &amp; co" in page
    assert "<b>bold" not in page


def test_every_claim_stands_in_the_ledger_with_a_verdict(finished):
    claims = pd.read_csv(finished.folder / "config/claims.csv")
    ledger = pd.read_csv(finished.folder / "results/ledger.csv")
    assert ledger["id"].tolist() == claims["id"].tolist()
    assert len(ledger) == 43
    assert ledger["verdict"].notna().all()


def chapter_of(page: str) -> str:
    return page[page.index('<h2 id="lora_ablation"') : page.index('<h2 id="provenance"')]


def test_the_chapter_of_the_ablation_shows_its_tables_and_figures(finished_lora):
    page = page_of(finished_lora)
    chapter = chapter_of(page)
    assert_alone(page)
    assert_sound(page)
    # The first screen's, three panels, four figures of the chapter, one bar chart.
    assert page.count("<svg") == 2 + 8
    names = ("grid", "drops", "svd", "stages", "repairs")
    assert {f"lora_ablation-{name}-table" for name in names} <= shown_tables(chapter)
    for table in (*names, "classes", "curve", "complete"):
        assert (finished_lora.results / f"tables/{table}.csv").exists()
    assert "14 of 14 runs finished." in chapter


def test_the_chapter_shows_ways_to_singular_values_and_repairs_by_row(finished_lora):
    chapter = chapter_of(page_of(finished_lora))
    svd = pd.read_csv(finished_lora.results / "tables/svd.csv")
    assert sorted(svd["contestant"]) == ["reference", "reference_again", "resident"]
    assert set(svd["rank"]) == {1}
    assert svd.notna().all(axis=None)
    repairs = pd.read_csv(finished_lora.results / "tables/repairs.csv")
    (row,) = repairs.to_dict("records")
    assert (row["repair"], row["cell"]) == ("restore", "simple_stats/all")
    assert row["difference"] == pytest.approx(row["accuracy_legacy"] - row["accuracy_repaired"])
    assert "restore | simple_stats/all |" in words(chapter)
    stages = pd.read_csv(finished_lora.results / "tables/stages.csv")
    assert set(stages["stage"]) == {"load", "features", "train"}
    assert set(stages["adapters"]) == {1_000, 10_000, 100_000}


def test_a_run_that_is_missing_is_named_in_the_chapter(finished_lora):
    path = finished_lora.results / "tables/complete.csv"
    complete = pd.read_csv(path)
    lost = (complete["representation"] == "frequency") & (complete["layers"] == "visual")
    complete.loc[lost & (complete["run"] == 1), "status"] = "missing"
    finished_lora.rewrite(path, complete.to_csv(index=False))
    assert finished_lora.jobs() == {"report": 1}
    finished_lora.make()
    chapter = chapter_of(page_of(finished_lora))
    assert "Grid incomplete" in chapter
    assert "13 of 14 runs" in chapter
    assert "frequency/visual/100/1 (missing)" in chapter
