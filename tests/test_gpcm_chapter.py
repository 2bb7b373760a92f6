"""The chapter: it says what the tables say, for any data, and stands without any of them."""

import re

import pandas as pd
import pytest

from scripts.deep_gpcm.draw import CHARTS
from scripts.lib.page import records
from tests.chapters import rendered, words
from tests.gpcm_networks import configuration
from tests.gpcm_outcome import outcome


def chapter(tables: dict | None = None, **study) -> str:
    """The chapter as the page includes it."""
    study.setdefault("about", configuration().described())
    if tables is not None:
        study["units"] = [{"arm": arm} for arm in tables["scores"]["arm"].unique()]
        study["tables"] = {name: records(table) for name, table in tables.items()}
        drawn = {name: "<svg></svg>" if len(tables[name]) else "" for name in CHARTS}
        study["figures"] = drawn | {"recovery": drawn["points"]}
    return rendered("deep_gpcm", study)


def rule(arm: str, level: str, **tests: tuple) -> list[dict]:
    """Agreement rows: (metric, test, passed, difference)."""
    rows = [{"arm": arm, "level": level, "where": "data = X", "margin": 1e-5,
             "note": "largest difference 0.0013" if metric == "early_losses" else None,
             "metric": metric, "test": test, "passed": passed, "difference": difference}
            for metric, (test, passed, difference) in tests.items()]  # fmt: skip
    return rows


def control(passed: bool) -> list[dict]:
    return rule("no_erase", "rounding", early_losses=("accurate", passed, 9000.0),
                nll=("equivalent", True, 0.0003), qwk=("reported", None, 0.0),
                accuracy=("reported", None, -0.0001))  # fmt: skip


@pytest.fixture
def tables() -> dict[str, pd.DataFrame]:
    return outcome()


def test_all_tables_and_figures_are_shown_and_the_page_is_balanced(tables):
    agreement = [*control(False), *rule("tables", "rounding", nll=("equivalent", True, 0.0))]
    text = chapter(tables, agreement=agreement, arm="fused", reference="reference")
    assert text.count("<svg") == text.count("<figure>") == 8
    for tag in ("table", "figure", "div", "p", "dl", "ul", "li", "tr", "td", "th", "span"):
        assert len(re.findall(rf"<{tag}[ >]", text)) == text.count(f"</{tag}>"), tag
    assert "Undefined" not in text
    assert "None" not in words(text)
    assert " nan" not in words(text)


def test_the_first_table_has_the_nll_first_and_the_best_arm_on_top(tables):
    text = chapter(tables, arm="fused")
    assert text.index("<table>") < text.index("NLL, difference")
    read = words(text)
    header = "data | arm | folds | NLL | NLL, difference | QWK |"
    assert header in read
    body = read[read.index(header) :]
    places = [body.index(f"X | {arm}") for arm in ("bayes", "gpcm", "fused", "unmasked")]
    assert places == sorted(places)
    assert "X | gpcm | 5 | 1.035 ± 0.021 | -0.041 (-0.055 to -0.027) |" in body
    assert "Y | fused | 1 | 1.300 | - |" in body
    assert "padding counted answers alone: 1.111" in body


def test_the_sentence_about_the_classical_model_follows_its_interval(tables):
    def said(**changes) -> str:
        scores = tables["scores"].copy()
        columns = list(changes)
        scores.loc[scores["arm"] == "gpcm", columns] = [changes[name] for name in columns]
        return words(chapter({**tables, "scores": scores}, arm="fused"))

    assert "lower than that of fused by 0.041: the classical model predicts better" in said()
    worse = said(nll_difference=0.05, nll_low=0.01, nll_high=0.09)
    assert "higher than that of fused by 0.050: the network predicts better" in worse
    unclear = said(nll_difference=-0.01, nll_low=-0.05, nll_high=0.03)
    assert "not shown to differ from that of fused: difference -0.010" in unclear
    assert "model predicts better" not in unclear
    assert "predicts better (" not in unclear
    alone = said(nll_low=None, nll_high=None)
    assert "the NLL of gpcm" not in alone


def test_data_are_called_simulated_only_where_their_truth_is_known(tables):
    read = words(chapter(tables, arm="fused"))
    assert "The data X are simulated" in read
    assert "How far Y is from what could be reached" in read
    about_truth = ("recovery", "points", "categories", "convergence")
    bare = {name: tables[name].iloc[:0] for name in about_truth}
    read = words(chapter(tables | bare, arm="fused"))
    assert "simulated: their" not in read
    assert "with static ability" not in read.lower()
    assert "Recovery of the true parameters" not in read
    assert "How far X, Y are from what could be reached" in read


def test_a_ladder_row_without_agreement_has_a_badge_the_reason_and_no_ratio(tables):
    text = chapter(tables, arm="fused")
    assert "&lt;its&gt; losses are far" in text
    read = words(text)
    assert "step | no_erase | 5 | 20.5 | 19.5 | - | - | - | FAILS | 1.3e-03 | 120 |" in read
    assert "12.5 (11.0 to 14.0) | 0.950 to 1.10 | agrees | 2.0e-07 | 120 | costs less |" in read
    assert "step | tables | 5 | 20.5 | 19.5 | - | - | - | not tested |" in read
    assert "step | reference | 5 | 20.5 | 19.5 | - | - | - | baseline |" in read


def test_how_the_data_were_read_is_told(tables):
    read = words(chapter(tables, arm="fused"))
    assert "Y | responses | from 1, as no 0 occurs |" in read
    assert "X | quadrature nodes of gpcm | 161 |" in read
    assert "How the data were read" not in words(
        chapter(tables | {"reading": tables["reading"][:0]})
    )


def test_controls_are_told_of_where_they_were_tried(tables):
    assert "no_erase forgets nothing" in words(chapter(tables, agreement=control(False)))
    assert "no_erase forgets nothing" not in words(chapter(tables))


def test_other_implementations_are_left_out_of_scores_and_recovery(tables):
    assert "X | tables | theta" not in words(chapter(tables, arm="fused"))
    other = [{"name": "tables", "role": "protocol", "about": "Another experiment."}]
    assert "X | tables | theta" in words(chapter(tables, arm="fused", about=other))


def test_what_the_original_proposes_is_shown_as_another_way_and_its_defects_as_models(tables):
    about = [{"name": "tables", "role": "original", "about": "Of the original."}]
    for level, shown in (("rounding", False), ("protocol", True)):
        claim = rule("tables", level, nll=("equivalent", True, 0.0))
        read = words(chapter(tables, arm="fused", about=about, agreement=claim))
        assert ("X | tables | theta" in read) == shown


def test_defects_are_shown_if_they_were_run(tables):
    read = words(chapter(tables, arm="fused"))
    assert "unmasked deserves a word" in read
    assert "X | unmasked | 5 | 0.725 | 1.111 |" in read
    assert "Y | fused | 1 | 1.300 | 1.300" not in read
    scores = tables["scores"][tables["scores"]["arm"] != "unmasked"]
    without = words(chapter({**tables, "scores": scores}, arm="fused"))
    assert "deserves a word" not in without
    assert "answers alone" not in without.split("Where the original")[1]


def test_only_arms_that_ran_are_described(tables):
    text = chapter(tables, arm="fused")
    assert "<dt>gpcm</dt>" in text
    assert "<dt>majority" not in text
    assert "<dt>" not in chapter()


def test_the_learning_curves_say_how_far_implementations_are_from_the_reference(tables):
    agreement = [*rule("fused", "rounding", nll=("equivalent", True, 0.0)), *control(False)]
    read = words(chapter(tables, arm="fused", reference="reference", agreement=agreement))
    assert "On X the largest difference of the loss from the reference's" in read
    assert "is 1.00e-07 among reference, fused" in read


def test_the_chapter_stands_without_any_table_and_with_empty_ones(tables):
    for text in (chapter(), chapter({name: table.iloc[:0] for name, table in tables.items()})):
        assert "<svg" not in text
        assert text.count("<table>") == 1
        assert "What the study does not show" in text
    for name in tables:
        rest = {key: table.iloc[:0] if key == name else table for key, table in tables.items()}
        assert chapter(rest, arm="fused").count("<figure>") == (
            5 if name == "recovery" else 8 - (name != "reading")
        )
