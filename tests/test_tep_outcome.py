"""The tables of the outcome: right for what is there, and no numbers for what is missing."""

import json
import math

import numpy as np
import pandas as pd
import pytest

from scripts.lib.comparison import NOT_COMPARABLE
from scripts.lib.stats import mean_share
from scripts.lib.table_files import read_frame, write_table
from scripts.tep_bp.jobs import TABLES
from scripts.tep_bp.options import Band
from scripts.tep_bp.outcome.anytime import anytime
from scripts.tep_bp.outcome.reevaluation import compare, summed
from scripts.tep_bp.outcome.row_selection import complete, repeat_rows
from scripts.tep_bp.outcome.sanity import sanity
from scripts.tep_bp.plans import ranking
from scripts.tep_bp.tables import all_tables
from tests.stages import run_stage
from tests.tep_outcome import (
    GATE,
    LEGACY,
    RULES,
    SAMPLES,
    SPEC,
    gradient,
    outcome,
    runs,
    searched,
)


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return runs()


@pytest.fixture(scope="module")
def made(rows) -> dict[str, pd.DataFrame]:
    return outcome(rows)


def without(rows: pd.DataFrame, rule: str, trial: int, stage: str = "search") -> pd.DataFrame:
    gone = (rows["arm"] == "gated") & (rows["rule"] == rule) & (rows["trial"] == trial)
    return rows[~(gone & (rows["stage"] == stage))]


def test_every_table_is_there_and_has_rows(made):
    assert tuple(made) == TABLES
    assert [name for name, table in made.items() if table.empty] == []


def test_tables_do_not_depend_on_the_order_of_rows(rows, made):
    again = outcome(rows.sample(frac=1, random_state=1))
    for name in TABLES:
        pd.testing.assert_frame_equal(made[name], again[name], obj=name)


def test_curves_are_thinned_and_end_with_all_trials(rows, made):
    for rule in RULES:
        whole = anytime(searched(rows, rule), SPEC.seed)
        shown = made["anytime"][made["anytime"]["rule"] == rule]
        assert shown["trials"].iloc[[0, -1]].tolist() == [1, 32]
        picked = whole.set_index("trials").loc[shown["trials"]].reset_index()
        pd.testing.assert_frame_equal(picked, shown.drop(columns="rule").reset_index(drop=True))


def test_a_long_curve_has_at_most_sixty_rows(rows):
    parts = [searched(rows).assign(trial=range(32 * k, 32 * k + 32)) for k in range(10)]
    found = outcome(pd.concat(parts, ignore_index=True), rules=["tep"], trials=320)["anytime"]
    assert 40 < len(found) <= 60
    assert found["trials"].iloc[-1] == 320
    assert found["trials"].is_unique


def test_equal_cost_buys_fewer_of_the_dear_trials_and_nothing_is_extrapolated(made):
    table = made["budgets"]
    cost = table[table["view"] == "cpu_s"]
    least = cost[cost["budget"] == cost["budget"].min()].set_index("rule")
    assert least["trials"].to_dict() == {"tep": 3, "bp": 32, "rbp": 3}
    curve = made["anytime"].set_index(["rule", "trials"])
    assert least.loc["tep", "value"] == curve.loc[("tep", 3), "value"]
    most = cost[cost["budget"] == cost["budget"].max()].set_index("rule")
    assert math.isnan(most.loc["bp", "value"])
    assert most.loc["tep", "trials"] == 32
    looks = table[table["view"] == "trials"]
    assert looks["budget"].unique().tolist() == [1, 4, 16, 32]
    assert (looks["trials"] == looks["budget"]).all()


@pytest.mark.parametrize("fault", ["missing", "failed", "absent"])
def test_a_rule_that_lacks_a_trial_has_the_reason_and_no_numbers(rows, fault):
    if fault == "missing":
        rows, reason = without(rows, "bp", 7), "bp: 1 of 32 trials are missing"
    elif fault == "failed":
        rows = rows.copy()
        rows.loc[searched(rows, "bp").index[:2], "status"] = "failed"
        reason = "bp: 2 of 32 trials failed"
    else:
        rows = rows[(rows["rule"] != "bp") | (rows["arm"] != "gated")]
        reason = "bp: 32 of 32 trials are missing"
    made = outcome(rows)
    for name in ("anytime", "distribution"):
        assert set(made[name]["rule"]) == {"tep", "rbp"}
    row = made["robustness"].set_index("rule").loc["bp"]
    assert row["reason"] == reason
    assert row[["best", "median", "near_best", "cpu_s", "median_lr_above"]].isna().all()
    bought = made["budgets"][made["budgets"]["rule"] == "bp"]
    assert bought["value"].isna().all()
    assert set(bought["reason"]) == {reason}
    pairs = of_rounding(made, 0)
    assert pairs.loc[("chosen", "tep", "bp"), "verdict"] == NOT_COMPARABLE
    assert pairs.loc[("chosen", "tep", "bp"), "reason"] == reason
    assert math.isnan(pairs.loc[("top", "tep", "bp"), "difference"])
    assert pairs.loc[("chosen", "tep", "rbp"), "verdict"] != NOT_COMPARABLE


def test_a_diverged_trial_counts_with_its_real_score(rows):
    rows = rows.copy()
    place = searched(rows).index[4]
    rows.loc[place, ["status", "val_accuracy"]] = ["diverged", 0.1]
    made = outcome(rows)
    row = made["robustness"].set_index("rule").loc["tep"]
    assert row["diverged"] == 1
    assert row["reason"] == ""
    first = made["distribution"][made["distribution"]["rule"] == "tep"].iloc[0]
    assert first["val_accuracy"] == 0.1


def test_low_learning_rates_have_a_median_of_their_own(rows, made):
    part = searched(rows)
    row = made["robustness"].set_index("rule").loc["tep"]
    for name, chosen in (("below", part["lr"] < 1e-3), ("above", part["lr"] >= 1e-3)):
        assert row[f"median_lr_{name}"] == np.median(part.loc[chosen, "val_accuracy"])


def test_every_trial_is_in_one_cell_of_each_heat_map(rows, made):
    table = made["heat"]
    counts = table.groupby(["rule", "y"])["count"].sum()
    assert counts.to_dict() == {("tep", "hidden"): 32, ("tep", "beta"): 32,
                                ("bp", "hidden"): 32, ("rbp", "hidden"): 32}  # fmt: skip
    part = searched(rows)
    for cell in table[table["rule"] == "tep"].itertuples():
        inside = (part["lr"] >= cell.x_low) & (part["lr"] < cell.x_high)
        if cell.y == "hidden":
            inside &= part["hidden"] == cell.y_low
        else:
            inside &= (part["beta"] >= cell.y_low) & (part["beta"] < cell.y_high)
        assert cell.count == inside.sum()
        assert cell.median == np.median(part.loc[inside, "val_accuracy"])


def test_importances_need_enough_trials(rows, made):
    sums = made["importances"].groupby("rule")["importance"].sum()
    assert sums.to_dict() == pytest.approx(dict.fromkeys(RULES, 1.0))
    few = rows[rows["trial"] < 19]
    assert outcome(few, trials=19)["importances"].empty


def test_repeats_have_an_interval_within_0_and_1_and_the_score_they_were_chosen_by(rows, made):
    again = rows[(rows["stage"] == "repeat") & (rows["rule"] == "bp") & (rows["rank"] == 1)]
    row = made["repeats"].set_index(["rule", "rank"]).loc[("bp", 1)]
    values = again["test_accuracy"].to_numpy(float)
    assert row["test_accuracy"] == pytest.approx(values.mean())
    found = mean_share(values, student=True)
    assert (row["low"], row["high"]) == pytest.approx((found.low, found.high))
    assert 0 < found.low < found.high < 1
    best = ranking.chosen(searched(rows, "bp"), 3, SPEC.space, "bp").iloc[1]
    keys = ["val_accuracy", "shrunken_accuracy"]
    assert [row["chosen"], *row[keys]] == [best["trial"], *best[keys]]


def test_a_configuration_that_lacks_a_repeat_has_no_mean(rows):
    made = outcome(without(rows, "tep", 2, "repeat"))
    row = made["repeats"].set_index(["rule", "rank"]).loc[("tep", 0)]
    assert row["reason"] == "tep: 1 of 4 repeats are missing"
    assert math.isnan(row["test_accuracy"])
    pairs = of_rounding(made, 0)
    assert pairs.loc[("chosen", "tep", "bp"), "reason"] == "tep: 1 of 4 repeats are missing"
    assert pairs.loc[("top", "tep", "bp"), "reason"] == "tep: 1 of 4 repeats are missing"
    assert pairs.loc[("chosen", "bp", "rbp"), "reason"] == ""


def test_pairs_are_those_of_the_validation_chosen_configurations(rows, made):
    again = repeat_rows(complete(rows), SPEC)
    direct = compare(again[again["rank"] == 0], "tep", "bp", SPEC.repeats, SPEC.seed, SPEC.margin)
    row = of_rounding(made, 0).loc[("chosen", "tep", "bp")]
    assert {name: row[name] for name in direct} == direct


def of_rounding(made: dict[str, pd.DataFrame], rounding: int) -> pd.DataFrame:
    pairs = made["pairs"]
    return pairs[pairs["rounding"] == rounding].set_index(["scope", "first", "second"])


def test_every_rounding_has_its_pairs_and_a_verdict_survives_where_all_have_it(rows, made):
    first, second = of_rounding(made, 0), of_rounding(made, 1)
    assert list(first.index) == list(second.index)
    assert (first["difference"] != second["difference"]).all()
    assert (first["survives"] == (first["verdict"] == second["verdict"])).all()
    best = rows["stage"].eq("repeat-1") & rows["rule"].eq("bp")
    worse = rows.copy()
    worse["hits"] = [[0] * SAMPLES if b else h for b, h in zip(best, rows["hits"], strict=True)]
    pairs = of_rounding(outcome(worse), 1)
    assert pairs.loc[("top", "tep", "bp"), ["verdict", "survives"]].tolist() == ["higher", False]
    assert outcome(rows, rerounded=0)["pairs"]["survives"].isna().all()


def test_how_often_another_trial_would_be_chosen_is_told(made):
    table = made["choice"].set_index("rule")
    for rule in RULES:
        row = table.loc[rule]
        assert (row["top"], row["draws"]) == (3, 500)
        assert 0 < row["stays"] < 1
        assert 1 <= row["others"] < 32
        assert row["stays"] <= row["overlap"] <= 3


def test_the_mean_over_ranks_keeps_a_test_sample_one_sample(rows, made):
    again = repeat_rows(complete(rows), SPEC)
    row = of_rounding(made, 0).loc[("top", "tep", "bp")]
    means = again.groupby("rule")["test_accuracy"].mean()
    assert row["difference"] == pytest.approx(means["tep"] - means["bp"])
    assert (row["samples"], row["configurations"]) == (40, 3)
    # Equal configurations at all ranks are no more evidence than one of them.
    one = again[again["rank"] == 0]
    copies = pd.concat([one.assign(rank=rank) for rank in range(3)], ignore_index=True)
    tripled = compare(summed(copies, 3), "tep", "bp", 4, 42, 0.01)
    single = compare(one, "tep", "bp", 4, 42, 0.01)
    assert tripled["high"] / 3 == pytest.approx(single["high"])
    assert tripled["low"] / 3 == pytest.approx(single["low"])


def test_the_last_rung_is_the_result_and_needs_its_number_of_trials(rows):
    rung = searched(rows).iloc[:8].assign(stage="rung1")
    other = searched(rows, "bp").iloc[5:12].assign(stage="rung1")
    made = outcome(pd.concat([rows, rung, other]), stage="rung1", trials=8, rules=["tep", "bp"])
    table = made["robustness"].set_index("rule")
    assert table["trials"].to_dict() == {"tep": 8, "bp": 7}
    assert table["reason"].to_dict() == {"tep": "", "bp": "bp: 1 of 8 trials are missing"}
    assert list(made["legacy"]["arm"]) == list(LEGACY)
    for name in ("widths", "residuals"):
        table = made[name].set_index(["role", "rule"]).sort_index()
        assert table.loc[("result", "tep"), "trials"].sum() == 8
        assert table.loc[("other", "tep"), "trials"].sum() == 16
    more = outcome(pd.concat([rows, rung]), stage="rung1", trials=7, rules=["tep"])
    assert "none of the 7 expected" in more["robustness"]["reason"].iloc[0]


def test_the_band_is_held_against_what_was_found(made):
    table = made["sanity"].set_index(["quantity", "rule"])
    best = made["robustness"].set_index("rule")["best"]
    assert table.loc[("best", "tep"), "value"] == best["tep"]
    assert table.loc[("best", "tep"), "inside"]
    assert not table.loc[("median", "tep"), "inside"]
    found = of_rounding(made, 0)["difference"]
    assert table.loc[("difference", "tep - bp"), "value"] == found[("chosen", "tep", "bp")]
    turned = outcome(rules=["bp", "tep"])["sanity"].set_index(["quantity", "rule"])
    assert turned.loc[("difference", "tep - bp"), "value"] == pytest.approx(
        found[("chosen", "tep", "bp")]
    )
    assert outcome(band=Band())["sanity"].empty
    for band, inside in (([0.9, 1.0], True), ([0.98, 1.0], False), ([0.0, 0.9], False)):
        assert sanity(Band(best=band), made)["inside"].tolist() == [inside] * 3


def test_a_value_that_is_missing_is_neither_inside_nor_outside(rows):
    table = outcome(without(rows, "bp", 7))["sanity"].set_index(["quantity", "rule"])
    assert pd.isna(table.loc[("best", "bp"), "inside"])
    assert pd.isna(table.loc[("difference", "tep - bp"), "inside"])


def test_a_study_without_repeats_and_legacy_arms_has_headers_for_them(rows):
    bare = rows[(rows["arm"] == "gated") & (rows["stage"] == "search")]
    bare = bare.drop(columns=["chosen", "rank", "repeat", "hits", "test_accuracy"])
    made = outcome(bare)
    empty = {name for name, table in made.items() if table.empty}
    assert empty == {"repeats", "legacy", "by_batch"}
    assert set(made["pairs"]["verdict"]) == {NOT_COMPARABLE}
    assert "bp: 4 of 4 repeats are missing" in set(made["pairs"]["reason"])


def test_the_stage_writes_every_table_and_headers_where_there_is_nothing(
    monkeypatch, rows, made, tmp_path
):
    inputs = {name: tmp_path / f"in.{name}" for name in ("runs", "gate", "gradient")}
    table = rows.astype(object).where(rows.notna(), None)
    write_table(inputs["runs"], table.to_dict("records"))
    inputs["gate"].write_text(json.dumps(GATE))
    write_table(inputs["gradient"], gradient().to_dict("list"))
    outputs = {name: tmp_path / f"{name}.csv" for name in TABLES}
    inputs["gate"] = [inputs["gate"]]
    files = {"input": inputs, "output": {"tables": list(outputs.values())}}
    assert run_stage(monkeypatch, "tep_bp/tables.py", SPEC, **files) is None
    for name, path in outputs.items():
        found, wanted = (
            t.replace({"": None}).astype(object) for t in (read_frame(path), made[name])
        )
        found, wanted = (t.where(t.notna(), None) for t in (found, wanted))
        pd.testing.assert_frame_equal(found, wanted, obj=name)
    nothing = all_tables(SPEC, rows.iloc[:0], {}, gradient().iloc[:0])
    assert {name: list(table) for name, table in nothing.items()} == {
        name: list(table) for name, table in made.items()
    }
