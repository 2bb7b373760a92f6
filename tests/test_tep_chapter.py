"""The chapter: it says what the tables say, for any rules and arms, and stands without them."""

from dataclasses import replace

import pandas as pd
import pytest

from scripts.lib.numerals import MISSING, fixed, points
from scripts.lib.page_study import Told
from scripts.tep_bp.chapter import RULES
from scripts.tep_bp.draw import CHARTS
from scripts.tep_bp.jobs import TABLES
from tests.chapters import assert_sound, rendered, said, shown_tables, told
from tests.tep_outcome import FAILED, GATE, ROUNDING, outcome, runs
from tests.tep_searches import configuration

SETTINGS = configuration().specific()
# Tables that are drawn, not printed.
DRAWN_ONLY = {"anytime", "distribution", "heat"}


def of(tables: dict | None = None, **known) -> Told:
    return told("tep_bp", tables, arm="gated", settings=SETTINGS, **known)


def words_of_alarms(tables: dict) -> list[str]:
    return [alarm.word for alarm in said(of(tables)).alarms]


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    return outcome()


def test_all_tables_and_figures_are_shown_and_the_page_is_sound(tables):
    text = rendered(of(tables), dict.fromkeys(CHARTS, "<svg></svg>"))
    assert text.count("<svg") == text.count("<figure>") == len(CHARTS)
    assert_sound(text)
    assert shown_tables(text) == {f"tep_bp-{name}-table" for name in set(TABLES) - DRAWN_ONLY}


def test_every_row_of_a_table_has_its_numbers(tables):
    shown = said(of(tables)).tables
    for name, heading, column in (
        ("repeats", "test, mean (95 %)", "test_accuracy"), ("robustness", "best", "best"),
        ("robustness", "median", "median"), ("sanity", "value", "value"),
        ("residuals", "largest norm of W", "spectral_norm"),
    ):  # fmt: skip
        wanted = [fixed(None if pd.isna(v) else v) for v in tables[name][column]]
        read = [cell.split(" (")[0] for cell in shown[name].column(heading)]
        assert read == wanted, (name, heading)
    assert shown["robustness"].column("trials") == ["32 of 32"] * 3
    differences = shown["legacy"].column("difference")
    for row, read in zip(tables["legacy"].itertuples(), differences, strict=True):
        if not pd.isna(row.difference):
            assert read.startswith(points(row.difference))
    by_batch = shown["by_batch"]
    assert len(by_batch) == tables["by_batch"]["arm"].nunique()
    for row in tables["by_batch"].itertuples():
        cells = by_batch.column(str(row.batch))
        assert f"{row.median:.3f} ({row.trials})" in cells


@pytest.mark.parametrize("verdict", ["higher", "lower", "equal", "undecided"])
def test_the_finding_is_the_verdict_of_the_table_and_so_are_its_limits(tables, verdict):
    found = said(of({**tables, "pairs": tables["pairs"].assign(verdict=verdict)}))
    first = found.findings[0]
    assert first.verdict == verdict
    row = tables["pairs"].query("scope == 'top' and rounding == 0 and first == 'tep'").iloc[0]
    assert (first.value, first.low, first.high) == (row.difference, row.low, row.high)
    assert points(row.difference) in first.text
    assert len({f.text for f in found.findings}) == len(found.findings) == 3
    more = {"equal", "undecided"} & {verdict}
    base = said(of({**tables, "pairs": tables["pairs"].assign(verdict="higher")}))
    assert len(found.limits) == len(base.limits) + len(more)


def test_a_verdict_that_does_not_survive_re_rounding_is_told(tables):
    texts = [
        said(of({**tables, "pairs": tables["pairs"].assign(survives=survives)})).findings[0].text
        for survives in (True, False, float("nan"))
    ]
    assert "ANOTHER" in texts[1]
    assert not any("ANOTHER" in text for text in (texts[0], texts[2]))
    assert len(texts[2]) < len(texts[0])


def test_how_the_task_was_read_and_what_other_classifiers_reach_on_it_are_told(tables):
    read = pd.DataFrame({"what": ["numbers"], "how": ["divided by 255"]})
    rows = [("logistic regression", 0.95, 0.92, 0.97, 1, 360, 1)]
    rows += [("perceptron, 100 hidden units", 0.975, 0.95, 0.99, 3, 360, 2)]
    names = ["classifier", "test_accuracy", "low", "high", "seeds", "samples", "converged"]
    others = pd.DataFrame(rows, columns=names)
    shown = said(of({**tables, "classifiers": others})).tables["classifiers"]
    assert shown.column("test (95 %)") == [
        "0.950 (0.920 to 0.970)",
        "0.975 (0.950 to 0.990)",
    ]
    assert shown.column("converged") == ["1", "2"]
    text = rendered(of({**tables, "reading": read, "classifiers": others}))
    assert_sound(text)
    assert "divided by 255" in text


def test_the_luck_of_the_choice_is_told(tables):
    shown = said(of(tables)).tables["choice"]
    assert shown.column("rule") == [rule.upper() for rule in tables["choice"]["rule"]]
    wanted = [f"{100 * stays:.0f} %" for stays in tables["choice"]["stays"]]
    assert shown.column("same first trial") == wanted


def test_missing_trials_are_told_with_the_reason_and_without_numbers():
    rows = runs()
    gone = (rows["arm"] == "gated") & (rows["rule"] == "bp") & (rows["trial"] == 3)
    found = said(of(outcome(rows[~(gone & (rows["stage"] == "search"))])))
    (alarm,) = [alarm for alarm in found.alarms if alarm.word == "not comparable"]
    assert alarm.text.startswith("bp: 1 of 32 trials are missing.")
    by_pair = {f.text.partition(":")[0]: f for f in found.findings}
    assert by_pair["TEP − BP"].verdict == "not comparable"
    assert by_pair["TEP − BP"].value is None
    assert by_pair["TEP − RBP"].value is not None
    robust = dict(zip(found.tables["robustness"].column("rule"), found.tables["robustness"].texts,
                      strict=True))  # fmt: skip
    assert robust["BP"][2] == "31 of 32"
    assert robust["BP"][5] == MISSING
    assert "1 of 32 trials are missing" in robust["BP"][-1]
    sanity = found.tables["sanity"]
    assert ["BP", "best", MISSING] in [row[:3] for row in sanity.texts]
    assert found.facts["price"] is None


def test_a_gate_that_failed_is_an_alarm_and_one_that_passed_is_none(tables):
    wrong = outcome(gate=FAILED)
    failed = said(of(wrong))
    (alarm,) = [alarm for alarm in failed.alarms if alarm.word.startswith("GATE")]
    assert alarm.word == "GATE FAILED"
    assert "share 0.3 is above 0.1" in alarm.text
    assert failed.facts["gate"]["solver"] == "plain"
    assert failed.facts["gate"]["survives"] is False
    assert failed.facts["gate"]["contradicted"] == ["economy"]
    assert "CONTRADICTION" in words_of_alarms(wrong)
    passed = said(of(tables))
    assert not {"GATE FAILED", "CONTRADICTION"} & {alarm.word for alarm in passed.alarms}
    assert passed.facts["gate"]["passed"]
    assert passed.facts["gate"]["survives"] is True
    shown = passed.tables["economy"]
    for rounding, trials in enumerate([60, 59]):
        cells = shown.texts[rounding]
        assert cells[:4] == [str(rounding), "passed", str(trials), "+0.06"]
        assert cells[-1] == "8 of 10"
    for text in (rendered(of(wrong)), rendered(of(tables))):
        assert_sound(text)


def test_an_undecided_gate_without_numbers_has_dashes():
    nothing = dict.fromkeys(ROUNDING, None) | {"outcome": "undecided", "top_overlap": 0, "top": 0}
    gate = GATE | {"outcome": "undecided", "solver": "plain", "roundings": [nothing]}
    tables = outcome(gate=gate)
    assert "GATE UNDECIDED" in words_of_alarms(tables)
    (cells,) = said(of(tables)).tables["economy"].texts
    assert cells == ["0", "UNDECIDED", *[MISSING] * 9, "0 of 0"]
    assert_sound(rendered(of(tables)))


@pytest.mark.parametrize("rules", [["tep"], ["bp"], ["tep", "bp"], ["bp", "rbp"]])
def test_any_subset_of_rules_gives_a_sound_page(rules):
    rows = runs()
    study = of(outcome(rows[rows["rule"].isin(rules)], rules=rules))
    assert_sound(rendered(study))
    facts = said(study).facts
    assert (facts["price"] is not None) == ({"tep", "bp"} <= set(rules))
    assert bool(facts["faulty"]) == ("tep" in rules)
    assert set(facts["rules"]) == set(rules)


def test_diverged_and_failed_rows_give_a_sound_page():
    rows = runs()
    rows.loc[rows["trial"] == 2, ["status", "residual_free"]] = ["diverged", float("nan")]
    rows.loc[(rows["trial"] == 5) & (rows["rule"] == "bp"), ["status", "val_accuracy"]] = [
        "failed", float("nan"),
    ]  # fmt: skip
    study = of(outcome(rows))
    assert_sound(rendered(study))
    found = said(study)
    robust = {row[0]: row for row in found.tables["robustness"].texts}
    assert robust["TEP"][2:5] == ["32 of 32", "1", "0"]
    assert {"not comparable", "warning"} <= {alarm.word for alarm in found.alarms}
    assert any("bp: 1 of 32 trials failed" in alarm.text for alarm in found.alarms)


def test_the_last_rung_is_said_to_be_one_of_survivors():
    rows = runs()
    kept = rows["trial"].isin(range(8)) & (rows["arm"] == "gated") & (rows["stage"] == "search")
    rung = rows[kept].assign(stage="rung1")
    tables = outcome(pd.concat([rows, rung], ignore_index=True), stage="rung1", trials=8)
    found = said(of(tables))
    assert found.facts["survivors"] == "rung1"
    assert found.tables["robustness"].column("stage")[0] == "rung1"
    assert "(rung1)" in rendered(of(tables))
    assert said(of()).facts["survivors"] == ""


def test_quantities_outside_the_band_are_an_alarm(tables):
    outside = tables["sanity"]["inside"].eq(False).sum()
    (alarm,) = [alarm for alarm in said(of(tables)).alarms if alarm.word == "OUTSIDE"]
    assert alarm.text.startswith(f"{outside} of {len(tables['sanity'])} ")
    assert said(of(tables)).tables["sanity"].column("inside").count("NO") == outside
    inside = tables["sanity"].assign(inside=True)
    assert "OUTSIDE" not in words_of_alarms({**tables, "sanity": inside})


def test_slopes_and_errors_are_those_of_the_table(tables):
    found = said(of(tables))
    for text in ("one-sided difference", "5.0e-03 at β = 0.0100"):
        assert text in found.facts["bias"]
    rows = found.tables["bias"].texts
    assert ["one-sided", "0.100", "5.0e-02", "2.5e-02", "1.00"] in rows
    assert ["centred", "0.100", "2.5e-03", "1.2e-03", "2.00"] in rows


def test_the_price_of_a_rule_is_that_of_its_trials_and_never_called_a_speed_up(tables):
    assert said(of(tables)).facts["price"] == pytest.approx({"flops": 10.0, "cpu": 10.0})
    text = rendered(of(tables))
    limits = said(of(tables)).limits
    assert text.lower().count("speed-up") == sum("speed-up" in one for one in limits) == 1


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.1, 0.2, "better"), (-0.2, -0.1, "worse"), (-0.1, 0.1, "no difference")],
)
def test_the_finding_about_the_faults_follows_its_interval(tables, low, high, verdict):
    table = tables["legacy"].copy()
    table.loc[table["arm"] == "legacy_repaired", ["low", "high"]] = [low, high]
    found = said(of({**tables, "legacy": table})).facts["repair"]
    assert (found.verdict, found.low, found.high) == (verdict, low, high)


def test_repairs_one_at_a_time_are_spoken_of_only_where_they_were_run(tables):
    two = {**tables, "legacy": tables["legacy"].iloc[[0, 4, 5]]}
    lengths = [len(rendered(of(one)).split("Bar: the middle half")[0]) for one in (tables, two)]
    assert len(said(of(tables)).facts["faulty"]) > 2 == len(said(of(two)).facts["faulty"])
    assert lengths[0] > lengths[1]


def test_the_chapter_stands_without_any_table_and_with_empty_ones(tables):
    for study in (of(), of({name: table.iloc[:0] for name, table in tables.items()})):
        text = rendered(study)
        assert "<svg" not in text
        assert shown_tables(text) == set()
        assert said(study).findings[0].value is None
        assert set(said(study).facts["rules"]) == set(RULES)
        assert_sound(text)
    whole = of(tables)
    for name in TABLES:
        text = rendered(replace(whole, tables={**whole.tables, name: []}))
        assert f"tep_bp-{name}-table" not in shown_tables(text)
        assert_sound(text)
