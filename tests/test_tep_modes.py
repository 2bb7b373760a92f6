"""Modes of the search, carried out: blocks and waves change no number, rungs and rounds repeat."""

import re
from itertools import pairwise

import pandas as pd
import pytest

from scripts.tep_bp.jobs import gate_reads, jobs
from scripts.tep_bp.outcome.model_tables import economy
from scripts.tep_bp.plans.ranking import chosen, ranked
from scripts.tep_bp.plans.sampling import COLUMNS, trials
from scripts.tep_bp.plans.stages import plans, search_stages
from tests.tep_searches import SEED, Search, configuration

pytestmark = pytest.mark.spread

RULES = ("tep", "bp")
HALVING = {"mode": "halving", "trials": 18, "block": 4, "halving": {"epochs": [1, 2, 4], "eta": 3}}
MODES = {
    "plan": {"trials": 18, "block": 4},
    "halving": HALVING,
    "rounds": {"mode": "rounds", "trials": 20, "block": 4},
}
same = pd.testing.assert_frame_equal


def search(**changes) -> Search:
    return Search(configuration(search=changes))


@pytest.mark.parametrize("mode", MODES)
def test_every_plan_reads_runs_that_a_job_makes_and_every_job_a_plan(mode):
    config = configuration(search=MODES[mode], repeats={"top": 3, "seeds": 5, "block": 4})
    made = {f"<results>/tep_bp/runs/{arm}/{block}.parquet" for arm, block in jobs(config, SEED)}
    found = plans(config, SEED)
    assert {job.rows.plan for job in jobs(config, SEED).values()} <= found.keys()
    assert all(set(plan.reads) <= made for plan in found.values())
    # The workflow's constraints of wildcards.
    assert all(re.fullmatch("[a-z0-9-]+", block) for _, block in jobs(config, SEED))
    assert all(re.fullmatch("[a-z0-9_-]+", plan) for plan in found)
    # Both the repeats and those from re-rounded weights train the one plan, block by block.
    for stage in ("repeat", "repeat-1"):
        again = [
            job for job in jobs(config, SEED).values() if (job.rule, job.stage) == ("tep", stage)
        ]
        assert [(job.rows.start, job.rows.count) for job in again] == [
            (0, 4),
            (4, 4),
            (8, 4),
            (12, 3),
        ]
        assert {job.rows.plan for job in again} == {"tep-repeat"}


def test_the_gate_reads_jobs_of_tep_by_both_arms_and_is_absent_without_them():
    config = configuration()
    arms = [arm for pair in config.compared for arm in pair]
    assert arms == ["fused", "economy", "fused_again", "economy_again"]
    assert gate_reads(config) == [f"<results>/tep_bp/runs/{arm}/tep-000.parquet" for arm in arms]
    assert {(arm, "tep-000") for arm in arms} <= jobs(config, SEED).keys()
    for arm in arms:
        assert gate_reads(configuration(arms={arm: {"run": {"trials": 0}}})) == []
        assert gate_reads(configuration(arms={arm: {"run": {"rules": ["bp"], "trials": 2}}})) == []
    assert gate_reads(configuration(search={"rules": ["bp", "rbp"]})) == []
    assert economy({}).empty


@pytest.mark.parametrize("rule", RULES)
def test_300_rows_are_the_same_from_one_job_and_from_many(rule):
    one = search(trials=300, block=300).rows(rule)
    assert one["trial"].tolist() == list(range(300))
    assert one["parameter_hash"].nunique() == 300
    for block in (128, 7):
        same(search(trials=300, block=block).rows(rule), one)


@pytest.mark.parametrize("mode", ["plan", "rounds"])
def test_more_trials_leave_the_first_ones_as_they_are(mode):
    few, more = (search(mode=mode, trials=n, block=10) for n in (20, 30))
    for rule in RULES:
        same(more.rows(rule)[:20], few.rows(rule))
        assert more.rows(rule)["trial"].tolist() == list(range(30))


def test_rungs_have_fewer_and_better_trials_that_are_trained_longer():
    found = search(**HALVING)
    for rule in RULES:
        rungs = [found.rows(rule, f"rung{i}") for i in range(3)]
        assert [len(rung) for rung in rungs] == [18, 6, 2]
        assert [set(rung["epochs"]) for rung in rungs] == [{1}, {2}, {4}]
        for before, after in pairwise(rungs):
            best = ranked(before)["trial"][: len(after)]
            assert after["trial"].tolist() == sorted(best)
            kept = before[before["trial"].isin(best)]
            same(after[COLUMNS], kept[COLUMNS].reset_index(drop=True))
            # From scratch: its first epochs are those of the rung before.
            epochs = before["epochs"][0]
            assert [curve[:epochs] for curve in after["curve"]] == kept["curve"].tolist()


@pytest.mark.parametrize("rule", RULES)
def test_a_promoted_trial_is_bit_for_bit_that_of_the_plain_search(rule):
    halved = search(**HALVING).rows(rule, "rung2").drop(columns="stage")
    plain = Search(configuration(search={"trials": 18, "block": 18}, train={"epochs": 4}))
    expected = plain.rows(rule).drop(columns="stage")
    expected = expected[expected["trial"].isin(halved["trial"])].reset_index(drop=True)
    same(halved, expected)
    other = Search(configuration(search={"trials": 18, "block": 18}, train={"epochs": 3}))
    assert not set(other.rows(rule)["parameter_hash"]) & set(halved["parameter_hash"])


@pytest.mark.parametrize("rule", RULES)
def test_rounds_are_the_same_twice_and_leave_the_plan_after_the_first(rule):
    first, second = (search(mode="rounds", trials=30, block=10).rows(rule) for _ in range(2))
    same(first, second)
    plan = trials(configuration().space, "sobol", 30, SEED)
    same(first[COLUMNS][:10], plan[:10])
    assert not (first["lr"][10:] == plan["lr"][10:]).any()
    assert first["seed"].tolist() == plan["seed"].tolist()


@pytest.mark.parametrize("mode", MODES)
def test_the_best_are_repeated_with_seeds_that_rules_share(mode):
    repeats = {"top": 2, "seeds": 3, "block": 4}
    config = configuration(search=MODES[mode], repeats=repeats, space={"batch": [8]})
    found, n = Search(config), len(Search.task_of(config).parts["test"])
    seeds = []
    for rule in RULES:
        again = found.rows(rule, "repeat")
        searched = found.rows(rule, search_stages(config)[-1][0])
        best = chosen(searched, 2, config.space, rule)["trial"].tolist()
        assert again["trial"].tolist() == list(range(6))
        assert again["chosen"].tolist() == [trial for trial in best for _ in range(3)]
        assert again["rank"].tolist() == [0, 0, 0, 1, 1, 1]
        assert again["repeat"].tolist() == [0, 1, 2] * 2
        assert all(len(hits) == n for hits in again["hits"])
        assert [sum(hits) / n for hits in again["hits"]] == pytest.approx(again["test_accuracy"])
        assert "val_accuracy" not in again
        # On the 38 training and 10 validation samples.
        assert (again["n_steps"] == 6 * again["epochs"]).all()
        seeds.append(again["seed"].tolist())
    assert seeds[0] == seeds[1]
    assert seeds[0][:3] == seeds[0][3:]
