"""The choice of the best: shrunk towards trials like it, so that luck chooses less."""

import numpy as np
import pandas as pd
import pytest

from scripts.tep_bp.plans.ranking import choices, chosen, shrunken
from scripts.tep_bp.plans.sampling import trials
from tests.tep_space import SPACE

N, SAMPLES = 128, 288


def true_accuracy(plan: pd.DataFrame) -> np.ndarray:
    """Best in the middle of the rates, better with width."""
    away = np.log10(plan["lr"]) + 2.2
    return 0.97 - 0.03 * np.clip(away**2, 0, 10) - 0.02 * (plan["hidden"] < 32)


def measured(seed: int) -> pd.DataFrame:
    """Trials whose late hits are draws of their true accuracy."""
    plan, rng = trials(SPACE, "sobol", N, 42), np.random.default_rng(seed)
    hits = (rng.random((N, SAMPLES)) < true_accuracy(plan).to_numpy()[:, None]).astype(float)
    return plan.assign(status="ok", late_accuracy=hits.mean(1), late_hits=list(hits))


def test_the_shrunken_choice_is_no_worse_than_the_luckiest_and_promises_less_too_much():
    gained, promised, lucky = [], [], []
    for seed in range(20):
        table = measured(seed)
        true = true_accuracy(table)
        luckiest = table["late_accuracy"].idxmax()
        best = chosen(table, 1, SPACE, "tep").iloc[0]
        gained.append(true[best["trial"]] - true[luckiest])
        promised.append(best["shrunken_accuracy"] - true[best["trial"]])
        lucky.append(table["late_accuracy"][luckiest] - true[luckiest])
    assert np.mean(gained) > -0.001
    assert np.mean(lucky) > 0.01  # the winner's curse
    assert abs(np.mean(promised)) < np.mean(lucky) / 2


def test_it_changes_less_often_than_that_of_the_luckiest():
    table, rng = measured(1), np.random.default_rng(0)
    drawn = choices(table, 10, SPACE, "tep", 100, rng)
    hits = np.stack(table["late_hits"].to_list())
    counts = rng.multinomial(SAMPLES, np.full(SAMPLES, 1 / SAMPLES), 100)
    lucky = np.argsort(-(hits @ counts.T), axis=0, kind="stable")[:10].T

    def overlap(all_drawn: np.ndarray) -> float:
        usual = pd.Series(all_drawn.ravel()).value_counts().index[:10]
        return float(np.isin(all_drawn, usual).sum(axis=1).mean())

    assert drawn.shape == (100, 10)
    assert overlap(drawn) > overlap(lucky)


def test_order_of_rows_does_not_matter_and_failed_trials_have_no_score():
    table = measured(3)
    expected = chosen(table, 5, SPACE, "tep")["trial"].tolist()
    shuffled = table.sample(frac=1, random_state=2)
    assert chosen(shuffled, 5, SPACE, "tep")["trial"].tolist() == expected
    lost = table.copy()
    lost.loc[lost["trial"] == expected[0], ["status", "late_accuracy"]] = "failed", np.nan
    assert expected[0] not in chosen(lost, N, SPACE, "tep")["trial"].tolist()
    assert len(chosen(lost, N, SPACE, "tep")) == N - 1
    assert chosen(lost.assign(status="failed"), 3, SPACE, "tep").empty


def test_a_rule_is_smoothed_over_what_it_reads():
    table = measured(4)
    other = table.assign(beta=table["beta"].to_numpy()[::-1])
    rates = table["late_accuracy"].to_numpy()[:, None]
    same = [shrunken(rows, rates, SAMPLES, SPACE, "bp") for rows in (table, other)]
    assert np.array_equal(*same)
    tep = [shrunken(rows, rates, SAMPLES, SPACE, "tep") for rows in (table, other)]
    assert not np.allclose(*tep)


def test_many_samples_leave_a_trial_near_its_own_accuracy():
    table = measured(5)
    rates = table["late_accuracy"].to_numpy()[:, None]
    moved = [np.abs(shrunken(table, rates, n, SPACE, "tep") - rates).mean() for n in (20, 100_000)]
    assert moved[1] < moved[0] / 2


@pytest.mark.parametrize("accuracy", [0.0, 1.0])
def test_accuracies_of_none_and_all_are_finite(accuracy):
    plan = trials(SPACE, "sobol", 4, 1)
    found = shrunken(plan, np.full((4, 1), accuracy), 30, SPACE, "bp")
    assert np.isfinite(found).all()
    assert ((found > 0) & (found < 1)).all()
