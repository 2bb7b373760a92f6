"""A ratio is printed only where it may be, and a slowdown is printed as one."""

import pandas as pd
import pytest

from scripts.lib.comparison import (
    TOO_NOISY,
    compare,
    equality,
    half_width,
    is_precise,
    noisy_quantities,
    pairs_to_show,
    protocol_change,
    verdict_on_claim,
)
from scripts.lib.workloads import Baselines
from scripts.spine.ledger import judge

AGAIN = ("base", "base_again")
AGREED = {"fast": (True, ""), "slow": (True, ""), "wrong": (False, "mmd outside the margin")}


def rounds(contestant, times, arm=None, threads=1, workers=1, ok=3) -> list[dict]:
    labels = {"contestant": contestant, "arm": arm or contestant, "threads": threads}
    labels |= {"workers": workers, "units": 3, "units_ok": ok, "call": 1, "minor_faults": 7.0}
    return [labels | {"round": i, "wall_s": time} for i, time in enumerate(times, start=1)]


def measured(*contestants, most=5) -> pd.DataFrame:
    rows = [*rounds("base", [10.0, 10.2, 9.9, 10.1, 10.0])]
    rows += rounds("base_again", [10.1, 9.9, 10.0, 10.2, 9.9], arm="base")
    rows += [row for contestant in contestants for row in contestant]
    return pd.DataFrame([row for row in rows if row["round"] <= most])


def against_base(table, name, quantity="wall_s"):
    return compare(table, "base", name, quantity, AGREED, AGAIN)


def test_a_faster_arm_that_agrees_gets_its_ratio_and_interval():
    found = against_base(measured(rounds("fast", [2.0, 2.1, 1.9, 2.0, 2.0])), "fast")
    assert found.verdict == "less"
    assert found.ratio.value == pytest.approx(5.0, rel=0.01)
    assert found.ratio.low <= 5 <= found.ratio.high
    assert found.kind == "implementation"


def test_a_slowdown_is_printed():
    found = against_base(measured(rounds("slow", [20.0, 21, 19, 20, 20])), "slow")
    assert found.verdict == "more"
    assert found.ratio.value == pytest.approx(0.5, rel=0.01)


def test_the_baseline_against_itself_shows_no_difference():
    found = against_base(measured(), "base_again")
    assert found.verdict == "no difference found"
    assert found.noise.low <= 1 <= found.noise.high


def test_an_interval_that_overlaps_the_noise_is_no_difference():
    found = against_base(measured(rounds("fast", [9.8, 10.3, 9.7, 10.0, 9.9])), "fast")
    assert found.verdict == "no difference found"


def noisy(factor: float) -> pd.DataFrame:
    """A fast arm beside a baseline whose twin costs `factor` times as much."""
    table = measured(rounds("fast", [2.0] * 5))
    table.loc[table["contestant"] == "base_again", "wall_s"] *= factor
    return table


@pytest.mark.parametrize("factor", [0.8, 0.88, 1.13, 3.4])
def test_where_the_baseline_and_its_twin_differ_no_ratio_of_the_quantity_is_named(factor):
    found = against_base(noisy(factor), "fast")
    assert (found.verdict, found.ratio) == (TOO_NOISY, None)
    assert "base over its twin is" in found.reason
    assert found.columns()["measured"] is None
    assert found.columns()["noise"] == pytest.approx(1 / factor, rel=0.02)
    assert verdict_on_claim(found, 5.0, "implementation") == TOO_NOISY
    assert against_base(noisy(factor), "base_again").verdict == TOO_NOISY
    # Another quantity of the same rounds, in which the two are alike, has its ratio.
    table = noisy(factor).assign(rss_mb=100.0)
    assert against_base(table, "fast", "rss_mb").verdict == "no difference found"


@pytest.mark.parametrize("factor", [0.93, 1.0, 1.07])
def test_a_twin_within_the_gate_gives_the_floor(factor):
    assert against_base(noisy(factor), "fast").verdict == "less"


def test_without_the_twin_nothing_is_compared():
    table = measured(rounds("fast", [2.0] * 5))
    found = against_base(table[table["contestant"] != "base_again"], "fast")
    assert (found.verdict, found.ratio) == ("not comparable", None)


def complete(table: pd.DataFrame) -> pd.DataFrame:
    """All quantities of a workload that is not traced, each the wall time."""
    same = {name: table["wall_s"] for name in ("fit_s", "cpu_s", "rss_mb")}
    return table.assign(**same, tensor_peak_mb=None)


def test_a_workload_is_precise_when_each_of_its_ratios_is():
    steady = rounds("fast", [2.0, 2.01, 1.99, 2.0, 2.0])
    table = complete(measured(steady))
    table["wall_s"] = table["fit_s"] = table["cpu_s"] = table["rss_mb"].round()
    assert is_precise(table, "base")
    assert not is_precise(complete(measured(rounds("fast", [2.0, 2.6, 1.7, 2.0, 2.0]))), "base")
    one = table.copy()
    one.loc[one["contestant"] == "fast", "cpu_s"] *= [1, 1.3, 0.8, 1, 1]
    assert not is_precise(one, "base")
    assert not is_precise(table[table["round"] == 1], "base")


def test_the_gate_names_the_quantities_in_which_the_twin_differs():
    table = complete(noisy(1.0))
    assert noisy_quantities(table, *AGAIN) == {}
    table.loc[table["contestant"] == "base_again", "cpu_s"] *= 1.2
    assert noisy_quantities(table, *AGAIN) == {"cpu_s": pytest.approx(1 / 1.2, rel=0.02)}


def test_a_row_says_how_many_rounds_and_how_precise_and_what_page_faults_it_cost():
    found = against_base(measured(rounds("fast", [2.0, 2.1, 1.9, 2.0, 2.0])), "fast")
    row = found.columns()
    assert (row["rounds"], row["slower_faults"], row["faster_faults"]) == (5, 7.0, 7.0)
    assert row["half_width"] == half_width(found.ratio) > 0
    assert row["low"] < row["measured"] < row["high"]


def test_without_agreement_there_is_no_ratio():
    found = against_base(measured(rounds("wrong", [1.0] * 5)), "wrong")
    assert found.ratio is None
    assert found.verdict == "not comparable"
    assert "mmd outside the margin" in found.reason


def test_an_arm_whose_agreement_was_never_tested_gets_no_ratio():
    found = against_base(measured(rounds("untested", [1.0] * 5)), "untested")
    assert found.ratio is None
    assert "not tested" in found.reason


def test_with_different_thread_counts_there_is_no_ratio():
    found = against_base(measured(rounds("fast", [1.0] * 5, threads=2)), "fast")
    assert found.ratio is None
    assert found.reason == "thread counts differ (1 and 2)"


def test_threads_of_the_same_arm_may_be_compared_since_they_are_the_question():
    found = against_base(measured(rounds("two", [6.0] * 5, arm="base", threads=2)), "two")
    assert (found.verdict, found.kind) == ("less", "threads")


def test_one_round_gives_no_ratio():
    found = against_base(measured(rounds("fast", [1.0] * 5), most=1), "fast")
    assert found.ratio is None
    assert "n = 1" in found.reason


def test_a_failed_unit_gives_no_ratio():
    found = against_base(measured(rounds("fast", [1.0] * 5, ok=2)), "fast")
    assert found.ratio is None
    assert "failed or diverged" in found.reason


@pytest.mark.parametrize(("name", "quantity"), [("nobody", "wall_s"), ("base_again", "joules")])
def test_what_was_not_measured_is_said_so(name, quantity):
    found = against_base(measured(), name, quantity)
    assert found.verdict == "not measured here"


@pytest.mark.parametrize(
    ("times", "claimed", "kind", "verdict"),
    [
        (2.0, 5.0, "implementation", "holds"),
        (2.0, 4.0, "implementation", "holds"),
        (5.0, 5.0, "implementation", "holds partly"),
        (20.0, 5.0, "implementation", "false"),
        (10.0, 5.0, "implementation", "no difference found"),
        (10.0, 1.0, "implementation", "holds"),
        (2.0, 1.0, "implementation", "false"),
        (2.0, None, "data access", "holds"),
        (2.0, 5.0, "protocol", "protocol change"),
        (20.0, 0.2, "memory", "holds partly"),
        (50.0, 0.2, "memory", "holds"),
        (2.0, 0.2, "memory", "false"),
    ],
)
def test_the_verdict_on_a_claim_follows_from_its_interval(times, claimed, kind, verdict):
    table = measured(rounds("fast", [times, times * 1.02, times * 0.98, times, times]))
    assert verdict_on_claim(against_base(table, "fast"), claimed, kind) == verdict


def test_a_claim_on_an_arm_without_agreement_is_not_comparable():
    found = against_base(measured(rounds("wrong", [1.0] * 5)), "wrong")
    assert verdict_on_claim(found, 5.0, "implementation") == "not comparable"


def test_parallel_contestants_are_shown_against_their_own_arm_and_against_the_baselines():
    table = measured(
        rounds("base_jobs", [5.0] * 5, arm="base", workers=2),
        rounds("fast", [2.0] * 5),
        rounds("fast_jobs", [1.0] * 5, arm="fast", workers=2),
    )
    shuffled = table.sort_values("contestant", ascending=False)
    pairs = pairs_to_show(shuffled, "base")
    assert sorted(pairs) == sorted(
        [("base", name) for name in ("base_again", "base_jobs", "fast", "fast_jobs")]
        + [("fast", "fast_jobs"), ("base_jobs", "fast_jobs")]
    )


def answers(**passed) -> pd.DataFrame:
    """Agreement rows: one test of each arm and its reported accuracy, 0.02 below the reference."""
    rows = []
    for arm, verdict in passed.items():
        label = {"arm": arm, "level": "identical", "where": "stage = train", "note": ""}
        rows.append(label | {"metric": "loss", "test": "close", "passed": verdict})
        told = {"difference": -0.02, "low": -0.031, "high": -0.009, "passed": None}
        rows.append(label | {"metric": "accuracy", "test": "reported"} | told)
    return pd.DataFrame(rows)


def test_a_claim_of_equality_holds_or_is_false():
    table = answers(same=True, other=False)
    same, other, nobody = (equality(table, arm) for arm in ("same", "other", "nobody"))
    assert [found.verdict for found in (same, other)] == ["equal", "unequal"]
    assert "loss (close) at stage = train" in other.reason
    judged = [verdict_on_claim(found, None, "equality") for found in (same, other, nobody)]
    assert judged == ["holds", "false", "not measured here"]
    assert same.ratio is None


def test_a_changed_protocol_reports_what_it_does_to_the_answer_and_never_a_ratio():
    table = answers(batch=True)
    found = protocol_change(table, "batch")
    assert (found.verdict, found.ratio, found.noise) == ("protocol change", None, None)
    assert found.reason == "accuracy -0.02 (-0.031 to -0.009)"
    assert verdict_on_claim(found, 1.75, "protocol") == "protocol change"
    assert found.columns()["measured"] is None


def test_a_changed_protocol_that_was_not_run_is_unmeasured():
    found = protocol_change(answers(batch=True), "epochs")
    assert found.verdict == "not measured here"
    assert "epochs was not run" in found.reason
    assert verdict_on_claim(found, 1.75, "protocol") == "not measured here"


@pytest.mark.parametrize("workload", ["", "train"])
def test_a_claim_about_a_cache_is_about_no_work_whatever_was_measured(workload):
    claim = {"study": "s", "kind": "cache", "claimed_factor": "10", "workload": workload}
    claim |= {"slower": "base", "faster": "fast", "quantity": "wall_s"}
    table = measured(rounds("fast", [2.0] * 5)).assign(workload="train", where="")
    options = {"s": Baselines(baseline="base", reference="base")}
    row = judge(claim, {"s": (table, answers(fast=True))}, options)
    assert (row["verdict"], row["measured"]) == ("cached: no work done", None)
    assert judge(claim, {}, options)["verdict"] == "not measured here"


def test_the_agreement_that_counts_for_a_workload_is_that_of_its_part():
    table = measured(rounds("fast", [2.0] * 5)).assign(workload="w")
    split = pd.concat([answers(fast=True), answers(fast=False).assign(where="stage = load")])
    claim = {"study": "s", "kind": "implementation", "claimed_factor": "5", "workload": "w"}
    claim |= {"slower": "base", "faster": "fast", "quantity": "wall_s"}
    options = {"s": Baselines(baseline="base", reference="base")}
    verdicts = {
        where: judge(claim, {"s": (table.assign(where=where), split)}, options)["verdict"]
        for where in ("train", "load", "")
    }
    refused = "not comparable"
    assert verdicts == {"train": "holds", "load": refused, "": refused}


@pytest.mark.parametrize("kind", ["implementation", "protocol", "equality", "memory", "total"])
def test_what_was_not_measured_stays_unmeasured_whatever_was_claimed(kind):
    found = against_base(measured(), "nobody")
    assert verdict_on_claim(found, 5.0, kind) == "not measured here"
