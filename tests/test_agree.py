"""Agreement: what passes, what fails, and that nothing is concluded from too little."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import csv

from scripts.lib.agreement import Declared, agree, check_metric, verdicts
from scripts.lib.comparison import equality
from scripts.lib.power import power
from scripts.lib.sections import Agreement, Claim
from scripts.lib.stats import paired_interval
from scripts.lib.table_files import same_keys

RULE = {"level": "equivalent", "min_pairs": 10, "not_worse": {"w1": 0.1}, "reported": ["epochs"]}
RULE |= {"equivalent": {"mmd": 0.1}, "close": {"loss": 1e-5}}


def runs(shift=0.0, gain=0.0, loss=0.0, pairs=20, arm_status="ok", where=(100, 500)):
    rng = np.random.default_rng(5)
    rows = []
    for n in where:
        for rep in range(pairs):
            base = {"law": "normal", "n": n, "rep": rep, "status": "ok", "epochs": 10}
            w1, mmd, noise = rng.normal(1, 0.05), rng.normal(1, 0.05), rng.normal(0, 0.02)
            rows.append(base | {"arm": "ref", "w1": w1, "mmd": mmd, "loss": 1.0})
            status = arm_status if rep == 0 else "ok"
            at_500 = gain if n == 500 else 0.0
            worse = {"w1": w1 * (1 + shift - at_500) + noise, "mmd": mmd + noise}
            rows.append(base | {"arm": "new", "status": status, "loss": 1.0 + loss} | worse)
    return pd.DataFrame(rows)


def agreement(table, rule=RULE):
    """The agreement table of the arm, written and read again."""
    declared = Declared(
        reference="ref",
        truth="truth",
        agreement=Agreement(strata="n"),
        axes=["law", "n", "rep"],
        arms={"new": Claim(**rule)},
    )
    rows = agree(table, "new", declared)
    table = io.BytesIO()
    csv.write_csv(pa.Table.from_pylist(same_keys(rows)), table)
    return pd.read_csv(io.BytesIO(table.getvalue()))


def verdict(table, rule=RULE, where=""):
    return verdicts(agreement(table, rule), where)["new"]


def test_an_arm_inside_all_margins_agrees():
    assert verdict(runs()) == (True, "")


def test_an_arm_outside_a_margin_fails_with_the_metric_and_the_place():
    passed, reason = verdict(runs(shift=0.2))
    assert not passed
    assert "w1 (not_worse) at n = 100" in reason


def test_being_better_is_not_being_worse():
    assert verdict(runs(shift=-0.3))[0]


def test_a_gain_in_one_place_does_not_pay_for_a_loss_in_another():
    passed, reason = verdict(runs(shift=0.2, gain=0.8))
    assert not passed
    assert "n = 100" in reason
    assert "n = 500" not in reason


def test_a_difference_above_the_tolerance_fails_a_close_metric():
    assert verdict(runs(loss=5e-6))[0]
    assert not verdict(runs(loss=2e-5))[0]


def test_too_few_pairs_conclude_nothing():
    passed, reason = verdict(runs(pairs=9))
    assert not passed
    assert "9 pairs, 10 needed" in reason


def test_a_unit_that_only_the_reference_finished_fails_the_arm():
    passed, reason = verdict(runs(arm_status="diverged"))
    assert not passed
    assert "1 units with unequal status" in reason


def test_an_arm_without_common_units_fails():
    table = runs()
    table.loc[table["arm"] == "new", "rep"] += 100
    passed, reason = verdict(table)
    assert not passed
    assert "no unit that both arms computed" in reason


def test_another_protocol_is_never_comparable_even_if_its_numbers_agree():
    passed, reason = verdict(runs(), RULE | {"level": "protocol"})
    assert not passed
    assert "never a speed-up" in reason


ROUNDING = {"level": "rounding", "min_pairs": 10, "at_most": {"deviation": 1.0}, "reported": []}


def deviations(largest: float, of_reference: float = 0.0) -> pd.DataFrame:
    """Units whose arm deviates by at most `largest`, and the reference from itself."""
    table = runs()
    table["deviation"] = np.where(table["arm"] == "new", largest / 2, of_reference)
    table.loc[(table["arm"] == "new") & (table["rep"] == 3), "deviation"] = largest
    return table


def test_at_most_is_about_the_arm_s_own_largest_value():
    assert verdict(deviations(1.0), ROUNDING) == (True, "")
    passed, reason = verdict(deviations(1.01), ROUNDING)
    assert not passed
    assert "deviation (at_most) at n = 100: largest value 1" in reason
    # However large the reference's own value: it is no difference that is tested.
    assert verdict(deviations(0.5, of_reference=9.0), ROUNDING)[0]
    assert not verdict(deviations(9.0, of_reference=9.0), ROUNDING)[0]


def test_at_most_does_not_pass_what_is_not_a_number():
    both = pd.DataFrame({"law": ["a"] * 3, "n": 1, "deviation_ref": 0.0})
    both["deviation_arm"] = [np.nan] * 3
    assert not check_metric(both, "deviation", "at_most", 1.0, ["law", "n"])["passed"]


def test_a_metric_that_the_reference_lacks_in_a_part_is_not_tested_there():
    table, rule = deviations(9.0), ROUNDING | {"close": {"loss": 1e-5}}
    assert not verdict(table, rule)[0]
    table.loc[table["n"] == 500, "deviation"] = np.nan
    table.loc[table["n"] == 100, ["deviation", "loss"]] = [0.5, np.nan]
    table.loc[(table["n"] == 100) & (table["arm"] == "new"), "loss"] = 7.0
    found = agreement(table, rule)
    tested = found[found["test"] != "counted"]
    assert tested[["where", "metric"]].to_numpy().tolist() == [
        ["n = 100", "deviation"],
        ["n = 500", "loss"],
    ]
    assert verdicts(found)["new"] == (True, "")


def test_an_arm_none_of_whose_tests_applies_somewhere_has_shown_nothing_there():
    table = deviations(0.5)
    table.loc[table["n"] == 500, "deviation"] = np.nan
    passed, reason = verdict(table, ROUNDING)
    assert not passed
    assert reason == "pairs (counted) at n = 500: none of the declared tests applies here"
    assert verdict(table, ROUNDING, where="100") == (True, "")


def test_only_the_part_that_was_asked_for_decides():
    table = runs(shift=0.2, gain=0.2)
    found = agreement(table)
    assert not verdicts(found)["new"][0]
    assert not verdicts(found, "100")["new"][0]
    assert verdicts(found, "500")["new"] == (True, "")
    assert verdicts(found, "50") == verdicts(found, "00") == {}


CURVE = {"level": "rounding", "min_pairs": 2, "close": {"losses": 1e-6}, "reported": []}


def curves(*arm: list[float]):
    """Paired units whose metric is a list; the reference's is [3, 2, 1]."""
    rows = []
    for rep, losses in enumerate(arm):
        unit = {"law": "normal", "n": 100, "rep": rep, "status": "ok"}
        rows += [unit | {"arm": "ref", "losses": [3.0, 2.0, 1.0]}]
        rows += [unit | {"arm": "new", "losses": losses}]
    return pd.DataFrame(rows)


def test_of_a_curve_the_entry_farthest_apart_counts():
    assert verdict(curves([3.0, 2.0, 1.0], [3.0, 2.0, 1.0 + 5e-7]), CURVE) == (True, "")
    passed, reason = verdict(curves([3.0, 2.0, 1.0], [3.0, 2.0 - 1e-3, 1.0]), CURVE)
    assert not passed
    assert "losses (close) at n = 100: largest difference 0.001" in reason


@pytest.mark.parametrize("losses", [[3.0, 2.0], [], [3.0, np.nan, 1.0]])
def test_a_curve_that_is_shorter_or_has_no_number_somewhere_is_not_the_same(losses):
    assert not verdict(curves([3.0, 2.0, 1.0], losses), CURVE)[0]


@pytest.mark.parametrize("two_sided", [True, False])
@pytest.mark.parametrize(("pairs", "spread"), [(3, 0.5), (5, 0.5), (8, 1.0), (40, 2.0)])
def test_the_power_of_a_test_is_the_share_of_simulated_samples_that_pass(pairs, spread, two_sided):
    rng = np.random.default_rng(1)
    draws = [paired_interval(rng.normal(0, spread, pairs)) for _ in range(4000)]
    passed = sum(e.high < 1 and (e.low > -1 or not two_sided) for e in draws) / len(draws)
    expected = power(pairs, two_sided, spread)
    assert abs(passed - expected) < 4 * np.sqrt(expected * (1 - expected) / len(draws)) + 1e-3


def test_two_pairs_are_no_evidence_of_equivalence():
    rule = {"level": "equivalent", "equivalent": {"mmd": 0.5}}
    passed, reason = verdict(runs(pairs=4), rule)
    assert not passed
    assert "undecided: 4 pairs, 5 needed for a power of 0.9" in reason
    assert verdict(runs(pairs=5), rule)[0]


def test_what_is_undecided_is_not_shown():
    rule = {"level": "rounding", "close": {"loss": 1e-5}, "equivalent": {"mmd": 0.5}}
    table = agreement(runs(pairs=3), rule)
    undecided = table[table["test"] == "equivalent"]
    assert undecided["passed"].isna().all()
    passed, reason = verdicts(table)["new"]
    assert not passed
    assert "undecided: 3 pairs" in reason


@pytest.mark.parametrize(("shift", "passed"), [(0.0, True), (0.1, None), (0.3, False)])
def test_a_mean_passes_inside_the_margin_fails_outside_and_is_undecided_on_its_edge(shift, passed):
    both = pd.DataFrame({"law": ["a"] * 30, "n": 1, "w1_ref": 1.0})
    both["w1_arm"] = 1 + shift + np.random.default_rng(2).normal(0, 0.05, 30)
    for test in ("equivalent", "not_worse"):
        assert check_metric(both, "w1", test, 0.1, ["law", "n"])["passed"] is passed
    both["w1_arm"] = 1 - shift
    assert check_metric(both, "w1", "not_worse", 0.1, ["law", "n"])["passed"] is True


@pytest.mark.parametrize(("shift", "passed"), [(0.0, True), (-0.1, None), (-0.3, False)])
def test_a_peer_that_is_not_better_leaves_ours_not_worse(shift, passed):
    both = pd.DataFrame({"law": ["a"] * 30, "n": 1, "w1_ref": 1.0})
    both["w1_arm"] = 1 + shift + np.random.default_rng(2).normal(0, 0.05, 30)
    assert check_metric(both, "w1", "not_better", 0.1, ["law", "n"])["passed"] is passed
    both["w1_arm"] = 5.0  # however much worse the peer is
    assert check_metric(both, "w1", "not_better", 0.1, ["law", "n"])["passed"] is True
    assert check_metric(both, "w1", "not_better", 0.0, ["law", "n"])["passed"] is True


ACCURATE = {"level": "rounding", "accurate": {"losses": 1e-9}, "reported": []}


def rounded(of_arm: float, of_reference: float = 1e-7, units: int = 8) -> pd.DataFrame:
    """Units with a curve, each arm as far from the truth as said, and one truth diverged."""
    rng, rows = np.random.default_rng(3), []
    for rep in range(units):
        true = rng.normal(size=10)
        for arm, apart in (("new", of_arm), ("ref", of_reference), ("truth", 0.0)):
            losses = true + apart * rng.normal(size=10)
            unit = {"law": "normal", "n": 100, "rep": rep, "status": "ok", "losses": losses}
            rows.append(unit | {"arm": arm})
    return pd.DataFrame(rows)


def test_an_arm_as_close_to_the_truth_as_the_reference_is_accurate():
    assert verdict(rounded(1e-7), ACCURATE) == (True, "")
    assert verdict(rounded(1e-12), ACCURATE) == (True, "")
    passed, reason = verdict(rounded(1e-6), ACCURATE)
    assert not passed
    assert "losses (accurate) at n = 100: largest distance" in reason


def test_accuracy_is_undecided_without_the_truth_of_enough_units():
    table = rounded(1e-7)
    few = table[(table["arm"] != "truth") | (table["rep"] < 4)]
    passed, reason = verdict(few, ACCURATE)
    assert not passed
    assert "undecided: 4 pairs, 5 needed" in reason
    diverged = table.assign(status=table["status"].where(table["arm"] != "truth", "diverged"))
    assert "undecided: 0 pairs, 5 needed" in verdict(diverged, ACCURATE)[1]


def with_losses(table: pd.DataFrame, losses: Callable[[str, np.ndarray], Any]) -> pd.DataFrame:
    """The units with other curves, by arm."""
    rows = table[["arm", "losses"]].itertuples(index=False)
    return table.assign(losses=[losses(*row) for row in rows])


def cut(table: pd.DataFrame, **length: int) -> pd.DataFrame:
    """The units with shorter curves, by arm."""
    return with_losses(table, lambda arm, curve: curve[: length.get(arm)])


@pytest.mark.parametrize("length", [{"truth": 4}, {"ref": 4}, {"ref": 4, "truth": 4, "new": 4}])
def test_a_curve_is_compared_as_far_as_truth_and_reference_go(length):
    assert verdict(cut(rounded(1e-7), **length), ACCURATE) == (True, "")
    assert verdict(cut(rounded(1.0), **length), ACCURATE)[0] is False


def test_an_arm_whose_curve_ends_before_is_not_accurate():
    assert verdict(cut(rounded(1e-7), new=4), ACCURATE)[0] is False


@pytest.mark.parametrize("lost", [lambda curve: [], lambda curve: curve * np.nan])
def test_beside_a_reference_that_is_no_distance_from_the_truth_no_arm_is_accurate(lost):
    table = with_losses(rounded(1.0), lambda arm, curve: lost(curve) if arm == "ref" else curve)
    passed, reason = verdict(table, ACCURATE)
    assert passed is None
    assert "undecided: 0 pairs, 5 needed" in reason


IDENTICAL = {"level": "identical", "min_pairs": 3, "close": {"loss": 0.0}}


def on_two_processors(loss: float, of_arm: int) -> pd.DataFrame:
    """Units of which the arm computed the first `of_arm` where the reference ran, others elsewhere.

    The loss differs where the processor does, and by `loss` where it does not.
    """
    table = runs(loss=loss)
    there = (table["arm"] == "new") & (table["rep"] >= of_arm)
    table["instruction_set"] = np.where(there, "bb", "aa")
    table.loc[there, "loss"] += 1e-9
    return table


def test_bits_are_compared_within_one_kind_of_processor():
    assert verdict(on_two_processors(0.0, of_arm=5), IDENTICAL) == (True, "")
    assert not verdict(on_two_processors(1e-12, of_arm=5), IDENTICAL)[0]
    rows = agreement(on_two_processors(0.0, of_arm=5), IDENTICAL)
    assert set(rows["n_pairs"]) == {5}
    assert rows["note"].str.contains("15 left out, whose sides ran on different processors").any()


def test_bits_that_no_common_processor_computed_are_undecided():
    rows = agreement(on_two_processors(0.0, of_arm=2), IDENTICAL)
    assert rows["passed"].isna().all()
    assert not verdict(on_two_processors(0.0, of_arm=2), IDENTICAL)[0]


def test_other_levels_hold_on_any_processor():
    rule = IDENTICAL | {"level": "rounding", "close": {"loss": 1e-6}}
    assert set(agreement(on_two_processors(0.0, of_arm=2), rule)["n_pairs"]) == {20}


def test_what_was_not_tested_has_neither_passed_nor_failed():
    rule = {"level": "equivalent", "min_pairs": 4, "equivalent": {"mmd": 0.5}}
    few = runs(pairs=3)
    alone = few[few["arm"] == "ref"]
    others = pd.concat([alone, few[few["arm"] == "new"].assign(rep=lambda rows: rows["rep"] + 9)])
    for table in (few, others):
        assert verdict(table, rule)[0] is None
        assert equality(agreement(table, rule), "new").verdict == "undecided"
    # A unit that only one side finished is a difference, of however many pairs.
    assert verdict(runs(pairs=3, arm_status="failed"), rule)[0] is False
