"""The chapter: it says what the tables say, for any data, and stands without any of them."""

from dataclasses import replace

import pandas as pd
import pytest

from scripts.deep_gpcm.draw import CHARTS
from scripts.lib.numerals import MISSING
from scripts.lib.page_study import Told
from tests.chapters import assert_sound, rendered, said, shown_tables, told, words
from tests.gpcm_networks import configuration
from tests.gpcm_outcome import outcome

ABOUT, SETTINGS = configuration().described(), configuration().specific()


def of(tables: dict | None = None, arm: str = "fused", **known) -> Told:
    known.setdefault("about", ABOUT)
    ran = list(tables["scores"]["arm"].unique()) if tables else []
    return told("deep_gpcm", tables, arm=arm, ran=ran, settings=SETTINGS, **known)


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


def test_all_tables_and_figures_are_shown_and_the_page_is_sound(tables):
    agreement = [*control(False), *rule("tables", "rounding", nll=("equivalent", True, 0.0))]
    figures = {"recovery" if name == "points" else name: "<svg></svg>" for name in CHARTS}
    text = rendered(of(tables, agreement=agreement), figures)
    assert text.count("<svg") == text.count("<figure>") == len(CHARTS)
    assert_sound(text)
    assert shown_tables(text) == {
        f"deep_gpcm-{name}-table" for name in ("scores", "defects", "ladder", "recovery", "reading")
    }


def test_the_scores_have_the_nll_first_and_the_best_arm_on_top(tables):
    shown = said(of(tables)).tables["scores"]
    assert shown.headings[3:6] == ["NLL", "NLL, difference", "QWK"]
    of_x = [row for row in shown.texts if row[0] == "X"]
    places = [[row[1] for row in of_x].index(arm) for arm in ("bayes (ceiling)", "gpcm", "fused")]
    assert places == sorted(places)
    (gpcm,) = [row for row in of_x if row[1] == "gpcm"]
    assert gpcm[2:5] == ["5", "1.035 ± 0.021", "-0.041 (-0.055 to -0.027)"]
    (alone,) = [row for row in shown.texts if row[:2] == ["Y", "fused"]]
    assert alone[2:5] == ["1", "1.300", MISSING]
    (unmasked,) = [row for row in of_x if row[1] == "unmasked"]
    assert "padding counted" in unmasked[3]
    assert "1.111" in unmasked[3]
    assert [marked for marked, _ in shown.body].count(True) == 2


@pytest.mark.parametrize(
    ("difference", "low", "high", "verdict"),
    [(-0.041, -0.055, -0.027, "lower"), (0.05, 0.01, 0.09, "higher"),
     (-0.01, -0.05, 0.03, "undecided")],
)  # fmt: skip
def test_the_finding_about_the_classical_model_follows_its_interval(
    tables, difference, low, high, verdict
):
    scores = tables["scores"].copy()
    columns = ["nll_difference", "nll_low", "nll_high"]
    scores.loc[scores["arm"] == "gpcm", columns] = [difference, low, high]
    found = said(of({**tables, "scores": scores})).findings[0]
    assert (found.verdict, found.value, found.low, found.high) == (verdict, difference, low, high)
    wanted = f"{abs(difference):.3f}"
    assert wanted in found.text
    assert ("predicts better" in found.text) == (verdict != "undecided")


def test_without_an_interval_nothing_is_found(tables):
    scores = tables["scores"].assign(nll_low=None, nll_high=None)
    (found,) = said(of({**tables, "scores": scores})).findings
    assert (found.verdict, found.value) == ("not compared", None)


def test_data_are_called_simulated_only_where_their_truth_is_known(tables):
    found = said(of(tables))
    assert found.facts["known"] == ["X"]
    bare = {name: tables[name].iloc[:0] for name in ("recovery", "points", "categories",
                                                     "convergence")}  # fmt: skip
    without = said(of(tables | bare))
    assert without.facts["known"] == []
    assert len(without.limits) == len(found.limits) - 1
    assert any("X, Y are" in limit for limit in without.limits)
    assert "simulated" in rendered(of(tables))
    assert "simulated" not in words(rendered(of(tables | bare))).split("Scores")[0]


def test_a_ladder_row_without_agreement_has_a_badge_the_reason_and_no_ratio(tables):
    shown = said(of(tables)).tables["ladder"]
    rows = {row[1]: dict(zip(shown.headings, row, strict=True)) for row in shown.texts}
    failed = rows["no erase"]
    assert (failed["ratio"], failed["agreement"]) == (MISSING, "FAILS")
    assert "<its> losses are far" in failed["verdict"]
    assert failed["largest difference of a loss"] == "1.3e-03"
    fused = next(row for row in rows.values() if row["agreement"] == "agrees")
    assert fused["ratio"] == "12.5 (11.0 to 14.0)"
    assert fused["A/A interval"] == "0.950 to 1.10"
    assert (rows["tables"]["ratio"], rows["tables"]["agreement"]) == (MISSING, "not tested")
    assert rows["reference"]["agreement"] == "baseline"
    assert "&lt;its&gt; losses are far" in rendered(of(tables))


def test_controls_are_told_of_where_they_were_tried(tables):
    assert said(of(tables, agreement=control(False))).facts["controls"] == ["no_erase"]
    assert said(of(tables)).facts["controls"] == []


def test_other_implementations_are_left_out_of_scores_and_recovery(tables):
    assert "tables" not in said(of(tables)).tables["recovery"].column("arm")
    other = [{"name": "tables", "role": "protocol", "about": "Another experiment."}]
    assert "tables" in said(of(tables, about=other)).tables["recovery"].column("arm")


@pytest.mark.parametrize(("level", "shown"), [("rounding", False), ("protocol", True)])
def test_what_the_original_proposes_is_another_way_and_its_defects_are_models(tables, level, shown):
    about = [{"name": "tables", "role": "original", "about": "Of the original."}]
    claim = rule("tables", level, nll=("equivalent", True, 0.0))
    found = said(of(tables, about=about, agreement=claim))
    assert ("tables" in found.tables["recovery"].column("arm")) == shown


def test_defects_are_shown_beside_the_result_if_they_were_run(tables):
    found = said(of(tables))
    assert found.facts["unmasked"]
    shown = found.tables["defects"]
    assert ["X", "unmasked", "5", "0.725", "1.111"] in [row[:5] for row in shown.texts]
    assert "Y" not in shown.column("data")
    scores = tables["scores"][tables["scores"]["arm"] != "unmasked"]
    without = said(of({**tables, "scores": scores}))
    assert not without.facts["unmasked"]
    assert len(without.tables["defects"]) == 0


def test_only_arms_that_ran_are_described(tables):
    text = rendered(of(tables))
    assert '<dt title="gpcm">' in text
    assert '<dt title="majority">' not in text
    assert "<dt title" not in rendered(of())


def test_the_learning_curves_say_how_far_implementations_are_from_the_reference(tables):
    agreement = [*rule("fused", "rounding", nll=("equivalent", True, 0.0)), *control(False)]
    (found,) = said(of(tables, agreement=agreement)).facts["coincidence"]
    assert found == {"data": "X", "largest": 1e-7, "arms": ["reference", "fused"]}


def test_the_chapter_stands_without_any_table_and_with_empty_ones(tables):
    for study in (of(), of({name: table.iloc[:0] for name, table in tables.items()})):
        text = rendered(study)
        assert "<svg" not in text
        assert shown_tables(text) == set()
        assert len(said(study).limits) == 4
        assert_sound(text)
    whole = of(tables)
    for name in tables:
        assert_sound(rendered(replace(whole, tables={**whole.tables, name: []})))
