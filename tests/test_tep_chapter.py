"""The chapter: it says what the tables say, for any rules and arms, and stands without them."""

import json
import re
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import pytest

from scripts.lib.page import extras
from scripts.tep_bp.draw import CHARTS
from scripts.tep_bp.jobs import TABLES
from tests.chapters import rendered, words
from tests.tep_outcome import FAILED, GATE, ROUNDING, outcome, runs


def chapter(tables: dict | None = None, **study) -> str:
    """The chapter as the page includes it, from the files that the page reads."""
    if tables is not None:
        with TemporaryDirectory() as folder:
            paths = [Path(folder) / f"{name}.csv" for name in tables]
            for path in paths:
                tables[path.stem].to_csv(path, index=False)
            paths.append(Path(folder) / "figures.json")
            drawn = {name: "<svg></svg>" if len(tables[name]) else "" for name in CHARTS}
            paths[-1].write_text(json.dumps(drawn))
            study |= extras(paths)
    return rendered("tep_bp", study)


def assert_sound(text: str) -> None:
    for tag in (
        "table",
        "figure",
        "div",
        "p",
        "dl",
        "ul",
        "li",
        "tr",
        "td",
        "th",
        "span",
        "strong",
    ):
        assert len(re.findall(rf"<{tag}[ >]", text)) == text.count(f"</{tag}>"), tag
    read = words(text)
    for wrong in ("Undefined", "None", "nan", "inf ", "True", "False"):
        assert wrong not in read
    for head, body in re.findall(r"<thead>(.*?)</thead>\s*<tbody>(.*?)</tbody>", text, re.DOTALL):
        columns = head.count("<th ")
        for row in re.findall(r"<tr.*?</tr>", body, re.DOTALL):
            spans = sum(int(n) - 1 for n in re.findall(r'colspan="(\d+)"', row))
            assert len(re.findall(r"<t[dh][ >]", row)) + spans == columns


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    return outcome()


def test_all_tables_and_figures_are_shown_and_the_page_is_sound(tables):
    text = chapter(tables)
    assert text.count("<svg") == text.count("<figure>") == len(CHARTS)
    assert_sound(text)
    for name in TABLES:
        assert f"tep_bp/tables/{name}.csv" in text


def test_every_row_of_a_table_has_its_numbers_on_the_page(tables):
    read = words(chapter(tables))
    for row in tables["repeats"].itertuples():
        assert f"| {row.test_accuracy:.3f} ({row.low:.3f} to {row.high:.3f}) | {row.n} |" in read
    for row in tables["robustness"].itertuples():
        assert (
            f"{row.rule} | search | 32 of 32 | 0 | 0 | {row.best:.3f} | {row.median:.3f} |" in read
        )
    for row in tables["legacy"].iloc[1:].itertuples():
        assert f"| {100 * row.difference:+.2f} ({100 * row.low:+.2f} to" in read
    for row in tables["by_batch"].itertuples():
        assert f"{row.median:.3f} ({row.trials}) |" in read


def test_verdicts_are_those_of_the_table_and_follow_its_interval(tables):
    def said(verdict: str) -> str:
        pairs = tables["pairs"].assign(verdict=verdict)
        return words(chapter({**tables, "pairs": pairs}))

    assert "; tep is higher. Trained again from re-rounded weights" in said("higher")
    assert "; tep is lower. Trained again" in said("lower")
    equal, undecided = said("equal"), said("undecided")
    assert "; equal within the margin. Trained again" in equal
    assert "equal to the last digit" in equal
    assert "; undecided. Trained again" in undecided
    assert "the interval reaches over the margin" in undecided
    for text in ("equal to the last digit", "the interval reaches over the margin"):
        assert text not in said("higher")


def test_a_verdict_that_does_not_survive_re_rounding_is_cried_out(tables):
    def said(survives: bool | float) -> str:
        return words(chapter({**tables, "pairs": tables["pairs"].assign(survives=survives)}))

    assert "the verdict is the same. Wilcoxon" in said(True)
    assert "the verdict is ANOTHER. Wilcoxon" in said(False)
    assert "Trained again" not in said(float("nan"))


def test_how_the_task_was_read_and_what_other_classifiers_reach_on_it_are_told(tables):
    read = pd.DataFrame({"what": ["numbers"], "how": ["divided by 255"]})
    rows = [("logistic regression", 0.95, 0.92, 0.97, 1, 360, 1)]
    rows += [("perceptron, 100 hidden units", 0.975, 0.95, 0.99, 3, 360, 2)]
    names = ["classifier", "test_accuracy", "low", "high", "seeds", "samples", "converged"]
    others = pd.DataFrame(rows, columns=names)
    text = chapter({**tables, "reading": read, "classifiers": others})
    assert_sound(text)
    said = words(text)
    assert "numbers | divided by 255 |" in said
    assert "on the same 360 test samples" in said
    assert "0.950 (0.920 to 0.970) by logistic regression, 0.975 (0.950 to 0.990) by perc" in said
    assert "100 hidden units (3 seeds, 1 stopped at the last iteration), with its own" in said
    assert "What an accuracy on this task is worth" not in words(chapter(tables))


def test_the_luck_of_the_choice_is_told(tables):
    row = tables["choice"].iloc[0]
    assert (
        f"{row.rule} has the same first trial in {100 * row.stays:.0f} % of draws "
        f"({row.others} others are first in some) and on average {row.overlap:.1f} of the same 3"
    ) in words(chapter(tables))


def test_missing_trials_are_told_with_the_reason_and_without_numbers():
    rows = runs()
    gone = (rows["arm"] == "gated") & (rows["rule"] == "bp") & (rows["trial"] == 3)
    text = chapter(outcome(rows[~(gone & (rows["stage"] == "search"))]))
    assert_sound(text)
    read = words(text)
    assert "not comparable bp: 1 of 32 trials are missing" in read
    assert "bp | search | 31 of 32 | 0 | 0 | not comparable: bp: 1 of 32 trials are missing" in read
    assert "tep \N{MINUS SIGN} bp: not comparable: bp: 1 of 32 trials are missing." in read
    assert "tep \N{MINUS SIGN} rbp: not comparable" not in read
    assert "tep - bp | difference | - |" in read
    assert "times the FLOPs" not in read
    assert "How bp compares: trials are missing or failed." in read


def test_a_gate_that_failed_is_cried_out_and_one_that_passed_is_not(tables):
    read = words(chapter(outcome(gate=FAILED)))
    assert "GATE FAILED" in read
    assert read.count("falls back to the plain solver") == 2
    assert "share 0.3 is above 0.1" in read
    assert "Roundings have DIFFERENT outcomes." in read
    assert "CONTRADICTION Trials of the result ran with economy" in read
    passed = words(chapter(tables))
    assert "FAILED" not in passed
    assert "falls back" not in passed
    assert "CONTRADICTION" not in passed
    assert "It passed; the result ran with the economy solver" in passed
    assert "Every rounding has the same outcome." in passed
    for rounding, n in enumerate([60, 59]):
        row = f"{rounding} | passed | {n} | +0.06 | -0.14 to +0.26 | 12 | 0.040 | 0.030 to 0.060 |"
        assert f"{row} 0.99950 | 0.99810 | 0.99720 | 8 of 10 |" in passed


def test_an_undecided_gate_without_numbers_has_dashes():
    nothing = dict.fromkeys(ROUNDING, None) | {"outcome": "undecided", "top_overlap": 0, "top": 0}
    gate = GATE | {"outcome": "undecided", "solver": "plain", "roundings": [nothing]}
    text = chapter(outcome(gate=gate))
    assert_sound(text)
    assert "GATE UNDECIDED" in words(text)
    assert "0 | UNDECIDED | - | - | - | - | - | - | - | - | - | 0 of 0 |" in words(text)


@pytest.mark.parametrize("rules", [["tep"], ["bp"], ["tep", "bp"], ["bp", "rbp"]])
def test_any_subset_of_rules_gives_a_sound_page(rules):
    rows = runs()
    rows = rows[rows["rule"].isin(rules)]
    text = chapter(outcome(rows, rules=rules))
    assert_sound(text)
    read = words(text)
    assert ("times the FLOPs" in read) == ({"tep", "bp"} <= set(rules))
    assert ("stays near half</h3>" in text) == ("tep" in rules)
    assert ("<dt>rbp" in text) == ("rbp" in rules)


def test_diverged_and_failed_rows_give_a_sound_page():
    rows = runs()
    rows.loc[rows["trial"] == 2, ["status", "residual_free"]] = ["diverged", float("nan")]
    rows.loc[(rows["trial"] == 5) & (rows["rule"] == "bp"), ["status", "val_accuracy"]] = [
        "failed", float("nan"),
    ]  # fmt: skip
    text = chapter(outcome(rows))
    assert_sound(text)
    read = words(text)
    assert "tep | search | 32 of 32 | 1 | 0 |" in read
    assert "bp: 1 of 32 trials failed" in read
    assert "warning Residuals above 0.05 in the result" in read


def test_the_last_rung_is_said_to_be_one_of_survivors():
    rows = runs()
    kept = rows["trial"].isin(range(8)) & (rows["arm"] == "gated") & (rows["stage"] == "search")
    rung = rows[kept].assign(stage="rung1")
    rows = pd.concat([rows, rung], ignore_index=True)
    read = words(chapter(outcome(rows, stage="rung1", trials=8)))
    assert "Only trials of the last rung (rung1) are counted" in read
    assert "tep | rung1 | 8 of 8 |" in read
    assert "survivors" not in words(chapter(outcome()))


def test_quantities_outside_the_band_are_cried_out(tables):
    read = words(chapter(tables))
    assert f"OUTSIDE {tables['sanity']['inside'].eq(False).sum()} of 10 quantities" in read
    assert "tep | median | 0.938 | 0.990 to 1.000 | NO |" in read
    inside = tables["sanity"].assign(inside=True)
    assert "OUTSIDE" not in words(chapter({**tables, "sanity": inside}))


def test_slopes_and_errors_are_those_of_the_table(tables):
    read = words(chapter(tables))
    assert "one-sided difference has a relative error of 5.0e-03 at β = 0.0100" in read
    assert "one-sided | 0.100 | 5.0e-02 | 2.5e-02 | 1.00 |" in read
    assert "centred | 0.100 | 2.5e-03 | 1.2e-03 | 2.00 |" in read


def test_the_price_of_a_rule_is_never_called_a_speed_up(tables):
    read = words(chapter(tables))
    assert "A trial of tep takes 10.0 times the FLOPs and 10.0 times the CPU-seconds" in read
    assert re.findall(r"speed-?up", read) == ["speed-up"]
    assert "A speed-up of one rule over another: rules are different computations" in read


def test_the_sentence_about_the_faults_follows_its_interval(tables):
    def said(low: float, high: float) -> str:
        table = tables["legacy"].copy()
        last = table["arm"] == "legacy_repaired"
        table.loc[last, ["low", "high"]] = [low, high]
        return words(chapter({**tables, "legacy": table}))

    assert "The faults, not the choice" in said(0.1, 0.2)
    assert "The repairs made it worse here" in said(-0.2, -0.1)
    assert "No difference was found here" in said(-0.1, 0.1)


def test_repairs_one_at_a_time_are_spoken_of_only_where_they_were_run(tables):
    assert "one repair at a time" in words(chapter(tables))
    two = tables["legacy"].iloc[[0, 4, 5]]
    assert "one repair at a time" not in words(chapter({**tables, "legacy": two}))


def test_the_chapter_stands_without_any_table_and_with_empty_ones(tables):
    for text in (chapter(), chapter({name: table.iloc[:0] for name, table in tables.items()})):
        assert "<svg" not in text
        assert text.count("<table>") == 1
        assert "What the study does not show" in text
        assert_sound(text)
    for name in TABLES:
        rest = {key: table for key, table in tables.items() if key != name}
        text = chapter(rest | {name: tables[name].iloc[:0]})
        assert f"tables/{name}.csv" not in text
        assert_sound(text)
