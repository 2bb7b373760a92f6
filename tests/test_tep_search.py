"""Halving promotes the better trials, rounds learn from earlier ones; both are repeatable."""

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from scripts.lib.faults import ContractError
from scripts.lib.spec import canonical
from scripts.tep_bp.plans.proposals import promoted, propose
from scripts.tep_bp.plans.ranking import ranked, top
from scripts.tep_bp.plans.sampling import COLUMNS, trials
from scripts.tep_bp.plans.space import DIMENSIONS
from scripts.tep_bp.plans.stages import kept, rungs
from tests.tep_space import SPACE

ROOT = Path(__file__).resolve().parents[1]


def results(table: pd.DataFrame, accuracy, loss=None, status="ok") -> pd.DataFrame:
    losses = 1 - np.asarray(accuracy, float) if loss is None else loss
    return table.assign(val_accuracy=accuracy, val_loss=losses, status=status)


def made_up(table: pd.DataFrame) -> pd.DataFrame:
    """Results with an optimum at lr 0.01, width 128 and relu; every seventh trial fails."""
    miss = abs(np.log10(table["lr"]) + 2) / 2 + (table["hidden"] < 128) * 0.2
    accuracy = 1 - miss / 4 - (table["activation"] == "tanh") * 0.1
    failed = table["trial"] % 7 == 3
    return results(table, accuracy.where(~failed), status=np.where(failed, "failed", "ok"))


# Trial: accuracy, loss, status; the best first, as a reader ranks them.
BY_HAND = {
    4: (0.97, 0.10, "ok"),
    0: (0.95, 0.20, "ok"),  # as 6: the lower number
    6: (0.95, 0.20, "ok"),
    2: (0.95, 0.21, "ok"),  # a higher loss
    7: (0.95, math.nan, "diverged"),  # no loss
    1: (0.30, 9.00, "diverged"),  # its real score
    3: (0.10, 0.01, "ok"),  # accuracy counts before loss
    5: (0.99, 0.01, "failed"),  # no score whatever is written there
    8: (math.nan, math.nan, "failed"),
}


def by_hand() -> pd.DataFrame:
    rows = [(trial, *BY_HAND[trial]) for trial in sorted(BY_HAND)]
    scores = pd.DataFrame(rows, columns=["trial", "val_accuracy", "val_loss", "status"])
    return trials(SPACE, "sobol", 9, 42).merge(scores, on="trial")


def test_trials_are_ranked_by_accuracy_then_loss_then_number():
    order = list(BY_HAND)[:7]
    assert ranked(by_hand())["trial"].tolist() == order
    for seed in range(5):
        shuffled = by_hand().sample(frac=1, random_state=seed)
        assert ranked(shuffled)["trial"].tolist() == order
    for k in range(10):
        assert top(by_hand(), k)["trial"].tolist() == order[:k]


@pytest.mark.parametrize("keep", [1, 3, 5, 7])
def test_the_best_trials_are_promoted_with_numbers_and_seeds_in_order(keep):
    table = trials(SPACE, "sobol", 9, 42)
    found = promoted(by_hand().sample(frac=1, random_state=1), keep)
    expected = sorted(list(BY_HAND)[:keep])
    pd.testing.assert_frame_equal(found, table.loc[expected].reset_index(drop=True))


def test_failed_trials_are_never_promoted():
    assert promoted(by_hand(), 9)["trial"].tolist() == [0, 1, 2, 3, 4, 6, 7]
    nothing = promoted(by_hand().assign(status="failed"), 9)
    assert nothing.empty
    assert nothing.columns.tolist() == COLUMNS


def test_halving_of_nine_trials_equals_the_example_by_hand():
    # Rung 1 ranks by 9 - trial, rung 2 reverses it: what was left behind cannot come back.
    table = trials(SPACE, "sobol", 9, 42)
    assert rungs(9, [3, 10, 30], 3) == [(3, 9), (10, 3), (30, 1)]
    second = promoted(results(table, (9 - table["trial"]) / 10), 3)
    assert second["trial"].tolist() == [0, 1, 2]
    third = promoted(results(second, second["trial"] / 10), 1)
    assert third["trial"].tolist() == [2]


@pytest.mark.parametrize(
    ("n", "eta", "expected"),
    [(300, 3, [300, 100, 34]), (10, 3, [10, 4, 2]), (1, 3, [1, 1, 1]), (8, 2, [8, 4, 2])],
)
def test_a_rung_keeps_the_share_rounded_up(n, eta, expected):
    assert rungs(n, [3, 10, 30], eta) == list(zip([3, 10, 30], expected, strict=True))
    assert all(kept(m, eta) == math.ceil(m / eta) for m in range(1, 100))


def all_rounds(rounds: int, n: int, rule: str, seed: int = 42) -> pd.DataFrame:
    found = None
    for k in range(rounds):
        new = propose(found, k, n, SPACE, seed, rule)
        found = pd.concat([found, made_up(new)], ignore_index=True)
    return found


def test_the_first_round_is_the_plan_that_all_rules_share():
    for rule in ("tep", "bp"):
        found = propose(None, 0, 20, SPACE, 42, rule)
        pd.testing.assert_frame_equal(found, trials(SPACE, "sobol", 20, 42))


@pytest.mark.parametrize("rule", ["tep", "bp"])
def test_later_rounds_are_plans_with_the_next_numbers_and_seeds(rule):
    found = all_rounds(3, 15, rule)
    plan = trials(SPACE, "sobol", 45, 42)
    assert found["trial"].tolist() == list(range(45))
    assert found["seed"].tolist() == plan["seed"].tolist()
    pd.testing.assert_series_equal(found[COLUMNS].dtypes, plan.dtypes)
    for key in ("hidden", "batch", "weight_decay", "activation"):
        assert set(found[key]) <= set(SPACE.of(key))
    for key in ("lr", "beta"):
        assert found[key].between(*SPACE.of(key)).all()
    later = found["beta"][15:]
    assert (later == SPACE.beta[0]).all() == (rule == "bp")


def test_rounds_come_nearer_to_the_optimum_than_the_plan():
    last = all_rounds(4, 30, "tep")[90:]
    plan = made_up(trials(SPACE, "sobol", 120, 42))
    assert last["val_accuracy"].median() > plan["val_accuracy"].quantile(0.9)


def test_equal_results_in_any_order_give_equal_trials():
    earlier = all_rounds(2, 15, "tep")
    expected = propose(earlier, 2, 15, SPACE, 42, "tep")
    shuffled = earlier.sample(frac=1, random_state=3)[earlier.columns[::-1]]
    pd.testing.assert_frame_equal(propose(shuffled, 2, 15, SPACE, 42, "tep"), expected)
    # Controls: another seed, and another result, do change what is asked for.
    assert not propose(earlier, 2, 15, SPACE, 43, "tep")[["lr"]].equals(expected[["lr"]])
    other = earlier.assign(val_accuracy=earlier["val_accuracy"][::-1].to_numpy(), status="ok")
    other["status"] = np.where(other["val_accuracy"].isna(), "failed", "ok")
    assert not propose(other, 2, 15, SPACE, 42, "tep")[["lr"]].equals(expected[["lr"]])


def test_rounds_are_the_same_in_another_process(tmp_path):
    earlier = all_rounds(2, 15, "tep")
    earlier.to_parquet(tmp_path / "earlier.parquet")
    code = (
        "import json, sys; import pandas as pd;"
        "from scripts.tep_bp.plans.proposals import propose;"
        "from scripts.tep_bp.plans.space import Space;"
        "earlier, space = pd.read_parquet(sys.argv[1]), Space(**json.loads(sys.argv[2]));"
        "found = propose(earlier, 2, 15, space, 42, 'tep');"
        "found.to_parquet(sys.argv[3])"
    )
    paths = [str(tmp_path / name) for name in ("earlier.parquet", "found.parquet")]
    words = [sys.executable, "-c", code, paths[0], canonical(SPACE), paths[1]]
    subprocess.run(words, cwd=ROOT, check=True, timeout=120, env={"PYTHONHASHSEED": "1"})
    expected = propose(earlier, 2, 15, SPACE, 42, "tep")
    pd.testing.assert_frame_equal(pd.read_parquet(paths[1]), expected, check_exact=True)


def test_a_round_without_all_earlier_results_is_refused():
    earlier = all_rounds(2, 5, "tep")
    for lacking in (None, earlier[:9], pd.concat([earlier, earlier[:1]])):
        with pytest.raises(ContractError, match="Round 2 needs the results of the trials 0 to 9"):
            propose(lacking, 2, 5, SPACE, 42, "tep")


def test_rounds_go_on_when_everything_failed():
    earlier = results(trials(SPACE, "sobol", 12, 42), math.nan, status="failed")
    found = propose(earlier, 1, 12, SPACE, 42, "tep")
    assert found["trial"].tolist() == list(range(12, 24))
    assert len(found[list(DIMENSIONS)].drop_duplicates()) == 12
