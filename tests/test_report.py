"""The page opens offline, prints slowdowns and refusals, and its shares add up."""

import re

import pandas as pd
import pytest

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


def assert_alone(page: str) -> None:
    """The page loads nothing: no script, no style sheet, no image, no link but its own."""
    assert re.findall(r"<script|<link|<iframe|@import|url\((?!#)", page) == []
    assert re.findall(r'(?:src|href)="(?!#)[^"]*"', page) == []


def test_the_page_needs_nothing_from_outside(finished):
    page = page_of(finished)
    assert_alone(page)
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


def test_what_is_undecided_is_not_said_to_pass(finished):
    path = finished.results / "agreement.csv"
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    table["passed"] = table["passed"].where(table["test"] == "reported", "true")
    headlines = []
    for verdict in ("true", ""):
        table.loc[table["test"] == "not_worse", "passed"] = verdict
        finished.rewrite(path, table.to_csv(index=False))
        finished.make()
        page = page_of(finished)
        headlines.append(page[page.index('id="headline"') : page.index('id="engression"')])
    assert "passes as" in headlines[0]
    assert "is undecided as" not in headlines[0]
    assert "is undecided as" in headlines[1]
    assert "passes as" not in headlines[1]


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
    # The rest is at least the import of torch.
    assert (jobs["job_cpu_s"] > jobs["work_cpu_s"] + 0.3 * jobs["jobs"]).all()
    page = page_of(finished)
    assert "Where the time went" in page


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
    return page[page.index('<h2 id="lora_ablation"') : page.index('<h2 id="ledger"')]


def test_the_chapter_of_the_ablation_shows_its_tables_and_figures(finished_lora):
    page = page_of(finished_lora)
    chapter = chapter_of(page)
    assert_alone(page)
    assert page.count("<svg") == 8  # three panels, four figures of the chapter, one bar chart
    for figure in ("Test accuracy", "Drops in test accuracy", "Recall", "Learning curve"):
        assert re.search(rf'aria-label="{figure}[^"]*">\s*(?:<[?!].*\s)*<svg', chapter), figure
    for words in ("Singular values", "What larger data sets would cost", "p, Holm"):
        assert words in chapter
    for table in ("grid", "drops", "classes", "curve", "complete", "svd", "stages", "repairs"):
        assert f"lora_ablation/tables/{table}.csv" in chapter
        assert (finished_lora.results / f"tables/{table}.csv").exists()
    assert "Grid complete: 14 of 14 runs finished." in chapter


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
    assert '<th scope="row">restore</th><td>simple_stats/all</td>' in chapter
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
    assert "<code>frequency/visual/100/1</code> (missing)" in chapter
