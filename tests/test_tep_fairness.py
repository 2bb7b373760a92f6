"""Statistics that favour no rule: no lucky order, and nothing that is missing is a win."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from scripts.lib.comparison import NOT_COMPARABLE
from scripts.lib.seeds import numpy_rng
from scripts.tep_bp.outcome.anytime import anytime, expected_best, weights, within
from scripts.tep_bp.outcome.distribution import distribution, robustness
from scripts.tep_bp.outcome.reevaluation import (
    EQUAL,
    UNDECIDED,
    bootstrap,
    compare,
    signed_rank,
)
from scripts.tep_bp.outcome.row_selection import refusal


def rows(accuracy, rule="tep", **columns) -> pd.DataFrame:
    n = len(accuracy)
    table = {"rule": rule, "trial": range(n), "status": "ok", "val_accuracy": accuracy}
    return pd.DataFrame(table | {"val_loss": 0.0, "cpu_s": 1.0} | columns)


@pytest.mark.parametrize("trials", range(1, 7))
def test_the_expected_best_is_the_mean_over_all_orders(trials):
    rng = np.random.default_rng(trials)
    score, test = np.sort(rng.normal(size=trials)), rng.normal(size=trials)
    chosen = [
        [max(order[:n]) for n in range(1, trials + 1)]
        for order in itertools.permutations(range(trials))
    ]
    for values in (score, test):
        assert expected_best(values) == pytest.approx(values[np.array(chosen)].mean(axis=0))


@pytest.mark.parametrize("trials", [1, 2, 17, 60, 300])
def test_weights_are_the_closed_formula_and_sum_to_one(trials):
    exact = [
        [math.comb(i - 1, n - 1) / math.comb(trials, n) for i in range(1, trials + 1)]
        for n in range(1, trials + 1)
    ]
    found = weights(trials)
    assert found == pytest.approx(np.array(exact), rel=1e-11)
    assert found.sum(axis=1) == pytest.approx(np.ones(trials), rel=1e-12)
    assert np.array_equal(found == 0, np.tril(np.ones((trials, trials)), -1) > 0)


def test_the_expected_best_is_that_of_a_simulation():
    rng = np.random.default_rng(5)
    values = np.sort(rng.beta(5, 1, 80))
    orders = rng.permuted(np.tile(values, (20_000, 1)), axis=1)
    best = np.maximum.accumulate(orders, axis=1)
    error = best.std(axis=0) / math.sqrt(len(best)) + 1e-12
    assert (abs(best.mean(axis=0) - expected_best(values)) < 5 * error).all()


def test_the_curve_rises_from_the_mean_to_the_best():
    values = np.sort(np.random.default_rng(0).random(50))
    found = expected_best(values)
    assert (np.diff(found) > 0).all()
    assert found[0] == pytest.approx(values.mean())
    assert found[-1] == values.max()


def test_with_all_trials_the_value_is_that_of_the_chosen_one():
    accuracy, test = [0.9, 0.95, 0.95, 0.2], [0.5, 0.6, 0.7, 0.99]
    table = rows(accuracy, test_accuracy=test, val_loss=[0.0, 0.2, 0.1, 0.0])
    curve = anytime(table, 0, value="test_accuracy")
    assert curve["value"].iloc[-1] == 0.7
    assert curve["value"].iloc[0] == pytest.approx(np.mean(test))
    # Not the best test accuracy, which nobody could have chosen.
    assert curve["value"].max() < 0.99


def test_a_value_that_is_missing_is_nan_wherever_it_could_be_chosen():
    found = expected_best(np.array([0.1, np.nan, 0.3, 0.4]))
    assert np.isnan(found).tolist() == [True, True, False, False]


def test_the_order_of_rows_and_failed_trials_change_no_curve():
    accuracy = np.random.default_rng(1).random(30).round(2)
    table = rows(accuracy, val_loss=np.random.default_rng(2).random(30))
    expected = anytime(table, 7, draws=200)
    failed = rows([0.999], status="failed").assign(trial=30)
    more = pd.concat([table, failed]).sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(anytime(more, 7, draws=200), expected)


def test_bands_hold_the_curve_and_are_those_of_a_slow_bootstrap():
    values = np.sort(np.random.default_rng(3).beta(8, 1, 12))
    found = anytime(rows(values), 7, draws=500)
    assert (found["low"] <= found["value"]).all()
    assert (found["value"] <= found["high"]).all()
    rng = numpy_rng(7, "tep_bp", "anytime")
    samples = [expected_best(np.sort(values[rng.integers(0, 12, 12)])) for _ in range(500)]
    for name, share in (("low", 0.05), ("high", 0.95)):
        assert found[name].to_numpy() == pytest.approx(np.quantile(samples, share, axis=0))
    again, other = anytime(rows(values), 7, draws=500), anytime(rows(values), 8, draws=500)
    pd.testing.assert_frame_equal(found, again)
    assert not other["low"].equals(found["low"])


def test_bands_cover_the_true_curve_about_as_often_as_they_say():
    # Uniform scores: the best of n of an endless supply is n / (n + 1) on average.
    rng, n, covered = np.random.default_rng(0), 4, []
    for _ in range(300):
        curve = anytime(rows(rng.random(40)), 0, draws=200).iloc[n - 1]
        covered.append(curve["low"] <= n / (n + 1) <= curve["high"])
    assert 0.82 < np.mean(covered) < 0.96


def test_no_trials_are_an_empty_curve():
    assert anytime(rows([]).astype({"val_accuracy": float}), 0).empty


def test_cost_is_that_of_n_trials_in_random_order():
    costs = np.array([1.0, 2.0, 3.0, 10.0])
    curve = anytime(rows([0.1, 0.2, 0.3, 0.4], cpu_s=costs, flops=costs * 1e9), 0)
    orders = np.array(list(itertools.permutations(costs)))
    assert curve["cpu_s"].to_numpy() == pytest.approx(orders.cumsum(axis=1).mean(axis=0))
    assert curve["flops"].to_numpy() == pytest.approx(curve["cpu_s"].to_numpy() * 1e9)


def test_at_equal_cost_the_cheaper_rule_has_more_trials():
    accuracy = np.random.default_rng(0).random(40)
    cheap = anytime(rows(accuracy, cpu_s=0.5), 0)
    dear = anytime(rows(accuracy, cpu_s=5.0), 0)
    budgets = np.array([0.1, 0.5, 4.9, 5.0, 20.0, 20.5, 200.0, 210.0])
    at_cheap, at_dear = within(cheap, "cpu_s", budgets), within(dear, "cpu_s", budgets)
    by_n = expected_best(np.sort(accuracy))
    assert at_cheap[1:5] == pytest.approx(by_n[[0, 8, 9, 39]])
    assert at_dear[3:7] == pytest.approx(by_n[[0, 3, 3, 39]])
    # No trial is paid for; more are paid for than there are.
    assert np.isnan(at_cheap).tolist() == [True] + [False] * 4 + [True] * 3
    assert np.isnan(at_dear).tolist() == [True] * 3 + [False] * 4 + [True]


def both(accuracy=(0.9, 0.8, 0.7)) -> pd.DataFrame:
    return pd.concat([rows(list(accuracy), rule) for rule in ("tep", "bp")], ignore_index=True)


def test_complete_results_are_comparable_also_where_a_trial_diverged():
    table = both()
    table.loc[2, "status"] = "diverged"
    assert refusal(table, ["tep", "bp"], range(3)) == ""


INCOMPLETE = {
    "no rule": (lambda t: t[t["rule"] == "bp"], "tep: 3 of 3 trials are missing"),
    "a trial": (lambda t: t.drop(index=4), "bp: 1 of 3 trials are missing"),
    "a score": (lambda t: t.assign(val_accuracy=t["val_accuracy"].where(t.index != 1)),
                "tep: 1 of 3 trials failed"),
    "a success": (lambda t: t.assign(status=np.where(t.index == 5, "failed", "ok")),
                  "bp: 1 of 3 trials failed"),
    "another trial": (lambda t: pd.concat([t, rows([1.0]).assign(trial=9)]),
                      "tep: trial 9 is none of the 3 expected"),
    "a second try": (lambda t: pd.concat([t, t[2:3]]), "tep: trial 2 is there twice"),
}  # fmt: skip


@pytest.mark.parametrize("fault", INCOMPLETE)
def test_incomplete_results_are_not_comparable(fault):
    change, expected = INCOMPLETE[fault]
    assert refusal(change(both()), ["tep", "bp"], range(3)) == expected


def test_robustness_is_the_distribution_of_all_trials():
    accuracy = [0.97, 0.96, 0.959, 0.5, 0.1]
    table = rows([*accuracy, math.nan], status=["ok"] * 4 + ["diverged", "failed"])
    found = robustness(pd.concat([table, rows([0.5], "bp")])).set_index("rule")
    tep = found.loc["tep"]
    assert tep[["trials", "diverged", "failed"]].tolist() == [6, 1, 1]
    assert tep[["best", "median", "lower_quartile", "upper_quartile"]].tolist() == [
        *(0.97, 0.959, 0.5, 0.96)
    ]
    assert tep["near_best"] == pytest.approx(2 / 6)
    assert found.loc["bp", "near_best"] == 1


def test_exactly_1_pp_below_the_best_is_within_1_pp():
    # Counts of MNIST's 12,000 validation samples: 6,008 / 12,000 - 0.01 rounds to too much.
    assert 5_888 / 12_000 < 6_008 / 12_000 - 0.01
    for below, near in ((120, 1.0), (121, 0.5)):
        found = robustness(rows([6_008 / 12_000, (6_008 - below) / 12_000]))
        assert found["near_best"].item() == near


def test_a_rule_whose_trials_all_failed_has_no_best():
    found = robustness(rows([math.nan] * 3, status="failed")).iloc[0]
    assert found["failed"] == 3
    assert np.isnan(found["best"])
    assert found["near_best"] == 0


def test_the_distribution_steps_at_each_score_and_starts_above_the_failed():
    table = rows([0.5, 0.9, 0.5, math.nan], status=["ok", "ok", "ok", "failed"])
    found = distribution(table)
    assert found["val_accuracy"].tolist() == [0.5, 0.9]
    assert found["share"].tolist() == [0.75, 1.0]


def again(hits, rule: str) -> pd.DataFrame:
    table = {"rule": rule, "repeat": range(len(hits)), "status": "ok"}
    return pd.DataFrame(table | {"hits": list(np.asarray(hits, bool))})


def reruns(first: float, second: float, seeds: int = 10, samples: int = 360, seed: int = 0):
    rng = np.random.default_rng(seed)
    pair = (("tep", first), ("bp", second))
    return pd.concat(
        [again(rng.random((seeds, samples)) < share, rule) for rule, share in pair],
        ignore_index=True,
    )


MARGIN = 0.03


@pytest.mark.parametrize("apart", [0.03, 0.05])
def test_a_difference_of_the_margin_or_more_is_seldom_called_equal(apart):
    tables = (reruns(0.95, 0.95 - apart, seed=seed) for seed in range(40))
    found = [compare(table, "tep", "bp", 10, 0, MARGIN, draws=400) for table in tables]
    assert np.mean([one["verdict"] == EQUAL for one in found]) <= 0.075


def test_a_clear_difference_is_found_with_its_size_and_direction():
    table = reruns(0.97, 0.90)
    found = compare(table, "tep", "bp", 10, 0, MARGIN)
    accuracy = table["hits"].map(np.mean).groupby(table["rule"]).mean()
    assert found["difference"] == pytest.approx(accuracy["tep"] - accuracy["bp"])
    assert found["verdict"] == "higher"
    assert 0 < found["low"] < found["difference"] < found["high"]
    assert found["p"] == pytest.approx(2 / 2**10)
    assert found["effect"] == 1
    assert (found["seeds"], found["samples"]) == (10, 360)
    swapped = compare(table, "bp", "tep", 10, 0, MARGIN)
    assert swapped["verdict"] == "lower"
    for a, b in (("difference", "difference"), ("low", "high"), ("effect", "effect")):
        assert swapped[a] == pytest.approx(-found[b])


def test_equal_runs_are_equal():
    table = reruns(0.95, 0.9)
    table.loc[10:, "hits"] = table["hits"][:10].to_numpy()
    found = compare(table, "tep", "bp", 10, 0, MARGIN)
    assert found["verdict"] == EQUAL
    assert [found[key] for key in ("difference", "low", "high", "p", "effect")] == [0, 0, 0, 1, 0]


def test_under_no_difference_none_is_found_and_few_samples_leave_it_undecided():
    tables = [reruns(0.95, 0.95, seed=seed) for seed in range(40)]
    found = [compare(table, "tep", "bp", 10, 0, MARGIN, draws=400) for table in tables]
    assert np.mean([one["verdict"] == EQUAL for one in found]) >= 0.5
    assert {one["verdict"] for one in found} <= {EQUAL, UNDECIDED}
    strict = [compare(table, "tep", "bp", 10, 0, 0.001, draws=400) for table in tables]
    assert EQUAL not in {one["verdict"] for one in strict}
    assert np.mean([one["p"] < 0.05 for one in found]) <= 0.125


@pytest.mark.parametrize("fault", ["missing", "failed", "no hits", "absent", "samples"])
def test_a_repeat_that_is_missing_or_failed_is_not_comparable(fault):
    table = reruns(0.99, 0.10)
    if fault == "missing":
        table = table.drop(index=13)
    elif fault == "absent":
        table = table[table["rule"] == "tep"]
    elif fault == "failed":
        table.loc[13, "status"] = "failed"
    else:
        table.at[13, "hits"] = None if fault == "no hits" else np.ones(359, bool)
    found = compare(table, "tep", "bp", 10, 0, MARGIN)
    assert found["verdict"] == NOT_COMPARABLE
    assert found["reason"]
    assert found.keys() == {"verdict", "reason"}


def test_other_rules_in_the_table_change_nothing():
    table = reruns(0.95, 0.94)
    more = pd.concat([again(np.ones((3, 5)), "rbp"), table], ignore_index=True)
    assert compare(more, "tep", "bp", 10, 0, MARGIN) == compare(table, "tep", "bp", 10, 0, MARGIN)


def test_the_bootstrap_resamples_seeds_and_samples():
    # Seeds differ by a, samples by b: the variances of both means add up.
    rng = np.random.default_rng(0)
    seeds, samples = rng.normal(0, 0.3, (8, 1)), rng.normal(0, 1, (1, 50))
    for gained in (seeds + np.zeros((1, 50)), samples + np.zeros((8, 1)), seeds + samples):
        low, high = bootstrap(gained, 20_000, 0.6827, np.random.default_rng(1))
        variance = gained.mean(axis=1).var() / 8 + gained.mean(axis=0).var() / 50
        assert (high - low) / 2 == pytest.approx(math.sqrt(variance), rel=0.05)


@pytest.mark.parametrize("seed", range(5))
def test_p_counts_all_signs_of_the_ranks(seed):
    differences = np.random.default_rng(seed).integers(-4, 7, 9)
    moved = differences[differences != 0]
    ranks = stats.rankdata(abs(moved))
    signs = np.array(list(itertools.product([-1, 1], repeat=len(moved))))
    sums, seen = signs @ ranks, np.sign(moved) @ ranks
    p, effect = signed_rank(differences)
    assert p == pytest.approx((abs(sums) >= abs(seen)).mean())
    assert effect == pytest.approx(seen / ranks.sum())


def test_many_seeds_have_the_p_of_the_normal_approximation():
    differences = np.random.default_rng(0).integers(-9, 12, 40)
    p, _ = signed_rank(differences)
    moved = differences[differences != 0]
    assert p == pytest.approx(stats.wilcoxon(moved, method="asymptotic").pvalue)
