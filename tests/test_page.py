"""What the page decides, as values: formats, tables, proofs, headlines, limits, ledger, summary."""

import math
import re

import pandas as pd
import pytest

from scripts.lib.numerals import (
    MISSING,
    fixed,
    percent,
    plain,
    plus_minus,
    points,
    ranged,
    span,
)
from scripts.lib.page_figures import drawing
from scripts.lib.page_study import Told
from scripts.lib.page_tables import Badge, Column, Table, number, text
from scripts.spine import common_tables, ratio_tables
from scripts.spine.chapters import chosen, summary_findings
from scripts.spine.claims import ledger
from scripts.spine.headlines import Headline, headlines, held_back, refused
from scripts.spine.limits import limits
from scripts.spine.overview import Bar, ratios, reach
from scripts.spine.proofs import Controls, Proof, controls_of, proof_of

ABOUT = [
    {"name": "reference", "role": "reference", "about": "Slow.", "claims": False},
    {"name": "fast", "role": "result", "about": "Fast.", "claims": True},
    {"name": "wrong", "role": "control", "about": "Wrong.", "claims": True},
]


def checked(arm: str = "fast", passed: bool | None = True, **more) -> dict:
    row = {"arm": arm, "level": "rounding", "where": "n = 1", "metric": "m", "test": "close"}
    return row | {"passed": passed, "n_pairs": 4, "margin": 1.0, "note": None} | more


def study(*agreement: dict, **known) -> Told:
    known = {"about": ABOUT, "ran": ["reference", "fast"], "axes": ["n", "rep"]} | known
    return Told("study", "fast", "reference", agreement=agreement, **known)


def twin(n: int, count: int, arm: str = "fast") -> dict:
    return {"arm": arm, "n": n, "twin": count}


@pytest.mark.parametrize(
    ("written", "wanted"),
    [(plain(None), MISSING), (plain(math.nan), MISSING), (plain(0.012345), "0.0123"),
     (plain(12345), "12,345"), (plain(123.4), "123"), (plain("text"), "text"),
     (fixed(-0.0001), "0.000"), (points(0.0123), "+1.23"), (percent(0.5), "50 %"),
     (span(1, None), MISSING), (span(1.0, 2.0), "1.00 to 2.00"), (ranged(1, None, 2), "1"),
     (ranged(None, None, None), MISSING), (ranged(1.5, 1.0, 2.0), "1.50 (1.00 to 2.00)"),
     (plus_minus(1.0, None), "1.00"), (plus_minus(1.0, 0.1), "1.00 ± 0.100")],
)  # fmt: skip
def test_numbers_have_one_form_and_what_is_missing_is_a_dash(written, wanted):
    assert written == wanted


def test_a_table_is_its_columns_and_rows_and_knows_what_is_marked():
    columns = [
        Column("name", "id", "head"), number("twice", lambda row: 2 * row["x"]), text("note"),
        Column("state", lambda row: [Badge("bad", "bad"), "why"]),
    ]  # fmt: skip
    rows = [{"id": "a", "x": 1, "note": None}, {"id": "b", "x": 2, "note": "words"}]
    table = Table("t", "t.csv", columns, rows, lambda row: row["id"] == "b")
    assert table.texts == [["a", "2", "", "bad why"], ["b", "4", "words", "bad why"]]
    assert table.column("twice") == ["2", "4"]
    assert [marked for marked, _ in table.body] == [False, True]
    assert [len(cells) for _, cells in table.body] == [len(table.headings)] * 2


def test_the_alternative_text_of_a_figure_is_short_and_its_values_are_a_table():
    name = "A title; one two: 1.5 (1 to 2); a &amp; b: 3"
    svg = f'<svg aria-label="{name}"><!-- x --><text>one_two</text></svg>'
    found = drawing("f", svg, {"one_two": "one two", "same": "same"}, "file")
    assert found.title == "A title"
    assert found.values.texts == [["one two", "1.5 (1 to 2)"], ["a & b", "3"]]
    assert re.findall('aria-label="([^"]*)"', found.svg) == ["A title"]
    assert "<title>one_two</title>" in found.svg
    assert "<!--" not in found.svg


@pytest.mark.parametrize(
    ("rows", "state", "tone"),
    [([checked()], "passes", "good"), ([checked(), checked(passed=False)], "fails", "bad"),
     ([checked(), checked(passed=None)], "undecided", "open"), ([], "untested", "open"),
     ([checked(), checked(passed=None, test="reported")], "passes", "good"),
     ([checked(level="protocol", test="reported", passed=None)], "protocol", "open")],
)  # fmt: skip
def test_a_proof_is_as_good_as_its_worst_test(rows, state, tone):
    proof = proof_of(study(*rows), [twin(1, 3)], "fast", "n")
    assert (proof.state, proof.badge.tone) == (state, tone)


def test_a_proof_names_the_cells_where_nothing_was_tested():
    proof = proof_of(study(checked()), [twin(1, 3), twin(2, 0)], "fast", "n")
    assert (proof.tested, proof.cells, proof.gaps) == (1, 2, {"n": [2]})
    there = proof_of(study(checked()), [twin(1, 3), twin(2, 0)], "fast", "n", "1")
    assert (there.tested, there.cells, there.gaps) == (1, 1, {})
    elsewhere = proof_of(study(checked()), [twin(1, 3)], "fast", "n", "2")
    assert elsewhere.state == "untested"
    assert proof_of(study(), [], "reference", "n").state == "reference"


def test_a_wrong_twin_is_found_if_one_of_its_tests_fails():
    rows = [checked("wrong", True), checked("wrong", False), checked("fast", False)]
    assert controls_of(study(*rows)) == Controls(found=["wrong"], passed=[], undecided=[])
    assert controls_of(study(checked("wrong", True))).passed == ["wrong"]
    few = [checked("wrong", True), checked("wrong", None)]
    assert controls_of(study(*few)).undecided == ["wrong"]
    assert controls_of(study(checked())).tried == 0


def compared(faster: str = "fast", **more) -> dict[str, dict]:
    row = {"workload": "w", "slower": "reference", "faster": faster, "where": "1", "rounds": 5,
           "quantity": "fit_s", "differs_in": "implementation", "verdict": "less", "reason": None,
           "measured": 4.0, "low": 3.0, "high": 5.0, "noise_low": 0.95, "noise_high": 1.05,
           "half_width": 0.05}  # fmt: skip
    row |= more
    return {row["quantity"]: row}


COSTS = [
    {"workload": "w", "contestant": name, "arm": name, "rounds": 5, "tensor_peak_mb": None,
     "cpu_s": 1.0, "fit_s": 1.0, "workers": 1, "threads": 1}
    for name in ("reference", "fast")
]  # fmt: skip


def head(pair: dict, *agreement: dict) -> Headline:
    (found,) = headlines(study(*agreement), [pair], COSTS, [twin(1, 2)], "reference", "n")
    return found


def test_a_headline_has_a_number_only_with_its_proof():
    found = head(compared(), checked())
    assert (found.value, found.low, found.high, found.noise) == (4.0, 3.0, 5.0, (0.95, 1.05))
    assert found.effect
    assert head(compared()).value is None
    assert head(compared(), checked(level="protocol", test="reported", passed=None)).value is None
    reason = "fast was not shown to agree"
    pair = compared(verdict="not comparable", measured=None, low=None, high=None, reason=reason)
    found = head(pair, checked(passed=False))
    assert found.value is None
    assert reason in found.words


def test_where_a_wrong_twin_passes_there_is_no_ratio():
    found = head(compared(), checked())
    assert held_back(found, study(), Controls(found=["wrong"])) == found
    assert held_back(found, study(), Controls(undecided=["wrong"])) == found
    without = held_back(found, study(), Controls(found=["other"], passed=["wrong"]))
    assert (without.value, without.low, without.high, without.effect) == (None, None, None, False)
    assert "wrong" in without.words


def test_a_slowdown_and_no_difference_are_called_so():
    slower = head(compared(verdict="more", measured=0.5, low=0.4, high=0.6), checked())
    assert "slowdown" in slower.words
    none = head(compared(verdict="no difference found", measured=1.0, low=0.9, high=1.1), checked())
    assert not none.effect
    assert none.value == 1.0


def test_an_interval_of_the_same_program_that_excludes_one_is_marked():
    assert head(compared(noise_low=1.02, noise_high=1.05), checked()).contradicts_noise
    assert not head(compared(), checked()).contradicts_noise


def test_only_the_result_beside_the_baseline_is_a_headline():
    others = [compared(faster="wrong"), compared(slower="fast"), compared(differs_in="processes"),
              compared(quantity="wall_s")]  # fmt: skip
    assert headlines(study(checked()), others, COSTS, [], "reference", "n") == []


def test_the_chosen_headline_is_that_of_the_named_workload_else_a_time():
    kinds = (("memory", "tensor_peak_mb"), ("a", "fit_s"), ("b", "fit_s"))
    found = [Headline(w, quantity, Proof("passes"), "") for w, quantity in kinds]
    assert chosen(found, "b").workload == "b"
    assert chosen(found, "c").workload == "a"
    assert chosen(found[:1], "c").workload == "memory"
    assert chosen([], "c") is None


def test_an_arm_is_refused_if_it_has_no_ratio_anywhere():
    no = {"verdict": "not comparable", "reason": "because", "measured": None}
    assert refused([compared("wrong", **no), compared("fast")], "reference") == {"wrong": "because"}
    assert refused([compared("wrong", **no), compared("wrong", workload="v")], "reference") == {}


def test_a_reason_that_all_quantities_share_is_told_once():
    no = {"verdict": "not comparable", "measured": None, "reason": "because"}
    pair = compared("wrong", **no) | compared("wrong", quantity="cpu_s", **no)
    table = ratio_tables.ratios(study(checked()), [compared("fast"), pair])["w"]
    rows = {row[0]: row for row in table.texts}
    assert rows["A/A interval"][4] == "0.950 to 1.05"
    assert rows["reference / wrong"][-1].count("because") == 1
    assert rows["reference / wrong"][4] == MISSING
    assert rows["reference / fast"][4].startswith("4.00 (3.00 to 5.00)")
    assert rows["reference / fast"][3] == "5.00"
    alone = ratio_tables.ratios(study(checked()), [compared("fast")])["w"]
    assert "why none" in table.headings
    assert "why none" not in alone.headings


def test_a_control_that_passes_everywhere_is_shown_as_a_weak_test():
    for passed, tone in ((False, "good"), (True, "bad")):
        table = common_tables.controls(study(checked("wrong", passed)))
        badges = [part for _, cells in table.body for cell in cells for part in cell.parts
                  if isinstance(part, Badge)]  # fmt: skip
        assert badges[0].tone == tone


SOURCES = {"measurements.parquet": {}, "runs.parquet": {"processors": []}}


def test_limits_follow_from_what_was_run():
    cells = [{"m": {"units": 3}}, {"m": {"units": 5}}]
    base = limits(study(checked()), [twin(1, 2)], COSTS, cells, False, SOURCES)
    assert len(base) == 3  # an arm that was not run, rounds, units
    assert any("wrong" in one for one in base)
    assert any("3 to 5 units" in one for one in base)
    more = [
        limits(study(checked()), [twin(1, 2), twin(2, 0)], COSTS, cells, False, SOURCES),
        limits(study(checked()), [twin(1, 2)], COSTS, cells, True, SOURCES),
        limits(study(checked()), [twin(1, 2)], COSTS, cells, False,
               SOURCES | {"measurements.parquet": {"node_is_shared": True}}),
        limits(study(checked()), [twin(1, 2)], [COSTS[0] | {"cpu_s": 2.0}, COSTS[1]], cells, False,
               SOURCES),
        limits(study(checked()), [twin(1, 2)], COSTS, cells, False, SOURCES | {"runs.parquet": {
            "processors": [{"processor": p, "instruction_set": p, "files": 1} for p in "ab"]}}),
    ]  # fmt: skip
    assert [len(found) - len(base) for found in more] == [2, 1, 1, 1, 1]


def test_too_few_rounds_are_said_to_be():
    few = [row | {"rounds": 2} for row in COSTS]
    texts = [limits(study(checked()), [], costs, [], False, SOURCES) for costs in (COSTS, few)]
    assert ["bootstrap" in " ".join(text) for text in texts] == [False, True]


def claim(id: str, verdict: str, date: str | None, record: str | None = None) -> dict:
    names = ("slower", "faster", "workload", "quantity", "needs", "note", "reason", "kind",
             "claimed_factor", "measured", "low", "high", "noise_low", "noise_high", "rounds",
             "pairs", "machine", "record_measured", "record_low", "record_high",
             "record_verdict", "record_rounds", "record_pairs", "record_date", "record_machine",
             "record_reason")  # fmt: skip
    known = {"id": id, "study": "study", "claim": "it is so", "verdict": verdict, "date": date}
    return dict.fromkeys(names) | known | {"record": record}


def test_every_claim_is_counted_once_in_the_line_and_stands_in_one_table():
    claims = [
        claim("A", "holds", "2026-01-01"), claim("B", "holds partly", "2026-01-01"),
        claim("C", "false", "2026-01-01"), claim("D", "not comparable", "2026-01-01"),
        claim("E", "not measured here", None, "a-record"), claim("F", "needs a GPU", None),
        claim("G", "holds", "2026-01-01"),
    ]  # fmt: skip
    found = ledger(claims, {"study": study()})
    assert found.counts == {"holds": 2, "holds partly": 1, "false": 1, "other": 1, "open": 2}
    assert sum(int(n) for n in re.findall(r"\d+", found.line)) == found.all == 7
    assert (found.open, found.recorded) == (2, 1)
    ids = [row for table in found.tables.values() for row in table.column("id")]
    assert sorted(ids) == list("ABCDEFG")
    assert {name: len(table) for name, table in found.tables.items()} == {
        "told": 5, "recorded": 1, "lacking": 1,
    }  # fmt: skip


BARS = [
    Bar("One", "w", "same answer", "good", 4.0, 3.0, 5.0, (0.9, 1.1)),
    Bar("Two", "w", "fails", "bad", words="fails"),
]


@pytest.mark.parametrize("narrow", [False, True])
def test_the_first_figure_names_every_study_and_prints_no_ratio_that_was_refused(narrow):
    svg = ratios(BARS, narrow)
    found = drawing("f", svg, {}, "ratios.csv")
    values = dict(found.values.texts)
    assert values["One, w"].startswith("4.00 (3.00 to 5.00), A/A 0.900 to 1.10")
    assert values["Two, w"].startswith("no ratio")
    assert "fails" in values["Two, w"]
    assert "var(--first)" in found.svg


def test_the_axis_of_the_first_figure_holds_all_intervals_and_one():
    low, high = reach([*BARS, Bar("Three", "w", "", "good", 0.2, 0.1, 0.3)])
    assert low < 0.1
    assert high > 5.0
    assert reach([])[0] < 1 < reach([])[1]


def cell(law: str, n: int, value: float, metric: str = "m") -> dict:
    return {"law": law, "n": n, "metric": metric, "value": value, "low": value - 0.1,
            "high": value + 0.1, "mcse": 0.05, "units": 3}  # fmt: skip


def test_a_study_without_words_of_its_own_has_its_extremes_at_both_ends_as_finding():
    report = {"figure": {"metric": "m", "label": "the measure", "panel": "law", "x": "n"}}
    cells = [cell("a", 10, 1.0), cell("b", 10, 2.0), cell("a", 5, 3.0), cell("b", 5, 4.0),
             cell("a", 7, 9.0), cell("a", 10, 7.0, "other")]  # fmt: skip
    (found,) = summary_findings(study(cells=cells, report=report))
    assert [found.value, found.low, found.high] == pytest.approx([2.0, 1.9, 2.1])
    for shown in ("1.00 ± 0.100", "2.00", "3.00", "4.00", "n = 10", "n = 5"):
        assert shown in found.text
    assert "9.00" not in found.text
    named = [cell("a", split, value) for split, value in (("inside", 1.0), ("beyond", 2.0))]
    (found,) = summary_findings(study(cells=named, report=report))
    assert found.text.index("n = inside") < found.text.index("n = beyond")
    (nothing,) = summary_findings(study(report=report))
    assert (nothing.verdict, nothing.value) == ("nothing", None)


def test_cells_are_means_or_proportions_and_count_what_was_left_out():
    row = cell("a", 10, 0.5) | {"kind": "mean", "n_not_ok": 1}
    share = row | {"metric": "share", "kind": "proportion"}
    told = study(axes=["law", "n", "rep"], report={"table": ["m", "share", "absent"]})
    table = common_tables.cells(told, [{"m": row, "share": share}])
    assert table.texts == [
        ["a", "10", "3 (+1 not ok)", "0.500 ± 0.0500", "0.500 (0.400 to 0.600)", MISSING]
    ]


def test_costs_of_a_traced_workload_have_memory_and_no_time():
    rows = pd.DataFrame(COSTS).assign(
        wall_s=1.0, fastest=0.9, slowest=1.1, inner_repeats=1, rss_mb=5.0, n_steps=10,
        minor_faults=7.0,
    ).to_dict("records")  # fmt: skip
    rows[1]["tensor_peak_mb"] = 3.0
    rows[0]["tensor_peak_mb"] = None
    table = common_tables.cost(study(), rows)
    timed, traced = (dict(zip(table.headings, row, strict=True)) for row in table.texts)
    assert timed["ms per step"] == "100"
    assert timed["wall s (range)"] == "1.00 (0.900 to 1.10)"
    assert (traced["CPU s"], traced["wall s (range)"], traced["ms per step"]) == (MISSING,) * 3
    assert traced["tensor peak MB"] == "3.00"
