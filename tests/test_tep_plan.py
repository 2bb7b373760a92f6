"""A plan of trials: the same for all rules, for ever, however many trials are added."""

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kstest

from scripts.lib.config import ConfigError, read_settings
from scripts.lib.seeds import seed63, stream
from scripts.tep_bp.plans.proposals import repeated
from scripts.tep_bp.plans.sampling import COLUMNS, as_trials, groups, stacks, trials
from scripts.tep_bp.plans.space import Space, Trial, searched
from tests.tep_nets import changed
from tests.tep_space import SPACE

ROOT = Path(__file__).resolve().parents[1]

# The first three Sobol trials of study seed 0.
GOLDEN = [
    (0, 32, 128, 0.092350166606637, 0.0001, "tanh", 0.12818571455526426, 1298244768040961210),
    (1, 128, 32, 0.0001058410252917551, 0.0001, "relu", 0.22521351218507057, 8118139644907062378),
    (2, 32, 256, 0.009306940637432985, 0.0, "relu", 0.3871218008919094, 2875971305659686905),
]

SAMPLERS = pytest.mark.parametrize("sampler", ["sobol", "random"])


@SAMPLERS
@pytest.mark.parametrize("n", [1, 7, 256, 300])
def test_more_trials_leave_the_first_ones_as_they_are(sampler, n):
    longer = trials(SPACE, sampler, 600, 42)
    pd.testing.assert_frame_equal(trials(SPACE, sampler, n, 42), longer[:n], check_exact=True)
    assert not longer["lr"].duplicated().any()


def test_the_first_points_are_those_that_were_drawn_once():
    # Golden: a change here invalidates every plan that was ever made.
    table = trials(SPACE, "sobol", 3, 0)
    pd.testing.assert_frame_equal(table, pd.DataFrame(GOLDEN, columns=COLUMNS), rtol=1e-12)


def test_columns_have_standard_types():
    table = trials(SPACE, "sobol", 10, 42)
    assert table.columns.tolist() == list(Trial._fields[1:])
    kinds = "".join(table.dtypes[name].kind for name in COLUMNS if name != "activation")
    assert kinds == "iiifffi"
    trial = as_trials(table, "bp")[3]
    assert trial.rule == "bp"
    assert [type(value) for value in trial] == [str, int, int, int, float, float, str, float, int]


@SAMPLERS
def test_rules_share_every_column_but_their_name(sampler):
    table = trials(SPACE, sampler, 50, 42)
    pairs = zip(as_trials(table, "tep"), as_trials(table, "bp"), strict=True)
    assert all(a._replace(rule="bp") == b and a.rule == "tep" for a, b in pairs)
    assert searched("tep") == [*searched("bp"), "beta"]


@pytest.mark.parametrize("key", ["beta", "lr", "hidden"])
def test_a_change_of_one_dimension_moves_no_other(key):
    before = trials(SPACE, "sobol", 100, 42)
    after = trials(
        changed(SPACE, **{key: SPACE.of(key)[:1] * 2 if key != "hidden" else [8]}), "sobol", 100, 42
    )
    assert not before[key].equals(after[key])
    pd.testing.assert_frame_equal(before.drop(columns=key), after.drop(columns=key))


def test_a_trials_seed_is_that_of_its_label_alone():
    seeds = trials(SPACE, "sobol", 20, 42)["seed"].tolist()
    assert seeds == [seed63(stream(42, "tep_bp", trial)) for trial in range(20)]
    assert seeds == trials(changed(SPACE, lr=[1e-3, 1e-2]), "random", 20, 42)["seed"].tolist()
    assert not set(seeds) & set(trials(SPACE, "sobol", 20, 43)["seed"])


@SAMPLERS
def test_lists_get_equal_shares_and_ranges_are_log_uniform(sampler):
    n = 2048
    table = trials(SPACE, sampler, n, 1)
    for key in ("hidden", "batch", "weight_decay", "activation"):
        counts = table[key].value_counts()
        assert set(counts.index) == set(SPACE.of(key))
        # Sobol points are balanced to about one; random ones to five standard errors.
        slack = 3 if sampler == "sobol" else 5 * math.sqrt(n / len(SPACE.of(key)))
        assert (abs(counts - n / len(SPACE.of(key))) <= slack).all()
    for key in ("lr", "beta"):
        low, high = SPACE.of(key)
        assert table[key].between(low, high).all()
        place = np.log(table[key] / low) / np.log(high / low)
        found = kstest(place, "uniform")
        assert found.pvalue > 1e-3
        assert (found.statistic < 2 / n) == (sampler == "sobol")


def test_a_range_of_one_value_is_that_value():
    table = trials(changed(SPACE, lr=[0.003, 0.003], beta=[1, 1]), "sobol", 9, 42)
    assert (table["lr"] == 0.003).all()
    assert (table["beta"] == 1.0).all()


NAN, INF = math.nan, math.inf
WRONG = {
    "lr": [[0.1, 0.01], [0.0, 0.1], [-1.0, 1.0], [1e-4, NAN], [NAN, 1.0], [1e-4, INF], [1e-3],
           [1e-3, 1e-2, 1e-1], [], 1e-3, None, ["1e-4", "1e-1"], [True, 2]],
    "beta": [[1.0, 0.02], [0.0, 1.0], [NAN, NAN], "low"],
    "hidden": [[], [12], [8, 9], [0], [-8], [8.0], [True], 8, [8, 8], ["8"], None],
    "batch": [[], [0], [-1], [32.0], [32, 32], [False], 32, (32, 64)],
    "weight_decay": [[], [-1e-4], [NAN], [INF], [0, 0.0], 0.0, ["0"]],
    "activation": [[], ["gelu"], ["tanh", "tanh"], "tanh", [None], [["tanh"]]],
}  # fmt: skip


def checked(space: dict) -> Space:
    return read_settings(Space, space, "tep_bp.space")


@pytest.mark.parametrize(("key", "value"), [(k, v) for k, values in WRONG.items() for v in values])
def test_an_impossible_space_is_refused_by_the_name_of_its_key(key, value):
    with pytest.raises(
        ConfigError, match=rf"^Config: tep_bp\.space\.{key}(\[\d\])? is "
    ) as refused:
        checked(SPACE.model_dump() | {key: value})
    assert "\n" not in str(refused.value)
    assert str(refused.value).endswith(".")
    assert ". " not in str(refused.value).partition(" Use one of: ")[0]


def test_a_space_has_all_keys_and_no_other():
    space = SPACE.model_dump()
    assert checked(space) == SPACE
    for key in space:
        with pytest.raises(ConfigError, match=rf"space\.{key} is missing"):
            checked({name: space[name] for name in space if name != key})
    with pytest.raises(ConfigError, match=r"space\.gamma is no key"):
        checked(space | {"gamma": [0.5, 0.9]})


def test_groups_are_all_trials_of_equal_width_and_batch_in_order():
    chosen = as_trials(trials(SPACE, "sobol", 100, 42), "tep")
    found = groups(chosen[::-1])
    shapes = [{(trial.hidden, trial.batch) for trial in group} for group in found]
    assert all(len(shape) == 1 for shape in shapes)
    assert [*map(min, shapes)] == sorted({(trial.hidden, trial.batch) for trial in chosen})
    for group in found:
        assert [trial.trial for trial in group] == sorted(trial.trial for trial in group)
    assert sorted(trial.trial for group in found for trial in group) == list(range(100))


@pytest.mark.parametrize("elements", [1, 4096, 65536, 2**30])
def test_stacks_are_groups_cut_to_a_number_of_elements(elements):
    chosen = as_trials(trials(SPACE, "sobol", 200, 42), "tep")
    found = stacks(chosen, elements)
    assert [trial for stack in found for trial in stack] == [
        trial for group in groups(chosen) for trial in group
    ]
    for stack in found:
        assert len({(trial.hidden, trial.batch) for trial in stack}) == 1
        assert len(stack) == 1 or len(stack) * stack[0].hidden * stack[0].batch <= elements


def test_repeats_pair_all_configurations_by_new_seeds():
    chosen = trials(SPACE, "sobol", 8, 42).iloc[[5, 2]]
    again = repeated(chosen, 3, 42)
    assert again["trial"].tolist() == [5, 5, 5, 2, 2, 2]
    assert again["repeat"].tolist() == [0, 1, 2, 0, 1, 2]
    seeds = again["seed"].tolist()
    assert seeds[:3] == seeds[3:]
    assert len(set(seeds) | set(trials(SPACE, "sobol", 300, 42)["seed"])) == 303
    assert again["seed"].dtype == np.int64
    same = [name for name in COLUMNS if name != "seed"]
    assert again[same][::3].to_numpy().tolist() == chosen[same].to_numpy().tolist()
    pd.testing.assert_frame_equal(repeated(chosen, 10, 42).query("repeat < 3")[again.columns]
                                  .reset_index(drop=True), again)  # fmt: skip


def test_planning_imports_neither_torch_nor_scikit_learn_nor_optuna():
    code = (
        "import sys; from scripts.tep_bp.plans import proposals, ranking, sampling;"
        "assert not {'torch', 'sklearn', 'optuna'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=120)
