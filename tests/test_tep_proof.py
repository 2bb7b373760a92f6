"""The proof of the answer: the truth, re-rounded starts, and wrong twins that must be found."""

from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch

from scripts.lib.agreement import Declared, agree
from scripts.tep_bp.jobs import jobs
from scripts.tep_bp.models.fused.fit import fit_fused
from scripts.tep_bp.models.fused.learner import Learner
from scripts.tep_bp.models.interface import data_of, initial
from scripts.tep_bp.models.reference.trial import fit_trial
from scripts.tep_bp.models.stacked.stacked import fit_stack
from scripts.tep_bp.models.wrong import MISTAKES
from scripts.tep_bp.plans.sampling import trials
from scripts.tep_bp.specs import AXES
from scripts.tep_bp.train import result
from tests.tep_files import read
from tests.tep_nets import PLAIN, RULE_NAMES, TRAIN, changed, digits, trial
from tests.tep_searches import SEED, configuration

CONTROLS = ["dropped_nudge", "lost_sign", "full_batch"]
ARMS = ["reference", "truth", "stacked", "fused", "economy", *CONTROLS]
PAIRS = 16  # as many as the default run has
RESULT = "economy"  # what the result runs as, if its gate passes
DIGITS = {
    "task": "digits", "tasks": {"digits": {"kind": "digits"}}, "train": {"epochs": 6},
    "search": {"block": PAIRS, "trials": PAIRS, "rules": ["tep"]},
    # With relu states have no bounds, and what is wrong shows in few trials.
    "space": {"hidden": [8, 16], "batch": [64, 128], "lr": [3e-3, 2e-2], "activation": ["relu"]},
    "arms": {arm: {"run": {"trials": PAIRS, "block": PAIRS, "rules": ["tep"]}} for arm in ARMS},
}  # fmt: skip


@cache
def verdicts() -> pd.DataFrame:
    """Agreement of a few small trials on real data, under the claims that ship."""
    config = configuration(**DIGITS)
    task, plan = read({"kind": "digits"}, 0), trials(config.space, "sobol", PAIRS, SEED)
    made = [
        result(job, plan.to_dict("records"), task, [])
        for (arm, _), job in jobs(config, SEED).items()
        if arm in ARMS
    ]
    claims = {name: claim for name, claim in config.claims().items() if name in ARMS}
    declared = Declared(
        agreement=config.agreement, axes=AXES, reference="reference", truth="truth", arms=claims
    )
    runs = pd.DataFrame([row for rows in made for row in rows])
    return pd.DataFrame([row for arm in claims for row in agree(runs, arm, declared)])


def agreement_of(arm: str) -> pd.DataFrame:
    rows = verdicts()
    return rows[(rows["arm"] == arm) & ~rows["test"].isin(["counted", "reported"])]


@pytest.mark.parametrize("arm", ["stacked", "fused", RESULT])
def test_right_arms_pass_every_test_that_they_claim(arm):
    assert len(agreement_of(arm)) >= 1
    assert agreement_of(arm)["passed"].astype(str).eq("True").all()


@pytest.mark.parametrize("arm", CONTROLS)
def test_every_control_fails_a_test_that_a_right_arm_passes(arm):
    rows, passes = agreement_of(arm), agreement_of(RESULT if arm != "full_batch" else "stacked")
    assert rows["passed"].astype(str).eq("False").any()
    assert set(zip(rows["metric"], rows["test"], strict=True)) == set(
        zip(passes["metric"], passes["test"], strict=True)
    )


def test_a_control_is_the_fused_trainer_but_for_its_mistake():
    assert set(MISTAKES) == set(CONTROLS)
    data, one = digits(torch.float32), trial(batch=100)  # 300 samples: no smaller last batch
    right, wrong = (
        fit_fused(data, [one], TRAIN, PLAIN, learner)[0]
        for learner in (Learner, MISTAKES["full_batch"])
    )
    assert right.parameter_hash == wrong.parameter_hash
    for mistake in ("dropped_nudge", "lost_sign"):
        (wrong,) = fit_fused(data, [one], TRAIN, PLAIN, MISTAKES[mistake])
        assert wrong.parameter_hash != right.parameter_hash


@pytest.mark.parametrize("rule", RULE_NAMES)
def test_the_reference_and_its_truth_agree_to_rounding_in_the_first_step(rule):
    task = read({"kind": "digits"}, 0)
    single, double = (data_of(task, ["train"], "val", p) for p in ("single", "double"))
    assert (single.dtype, double.dtype) == (torch.float32, torch.float64)
    assert torch.equal(single.x.double(), double.x)
    one, train = trial(rule, batch=len(single.x)), changed(TRAIN, epochs=1)
    losses = [fit_trial(data, one, train, PLAIN).early for data in (single, double)]
    apart = np.abs(np.subtract(*losses))
    assert 0 < apart.max() < 2e-6
    assert np.sqrt(np.mean(apart**2)) < 5e-7


def test_double_precision_is_double_everywhere():
    """A truth with a float32 step inside would be as far from the stacked trainer as float32 is."""
    one, train = trial(), changed(TRAIN, epochs=3)
    truth, stacked = (
        fit_trial(digits(), one, train, PLAIN),
        fit_stack(digits(), [one], train, PLAIN),
    )
    assert truth.early == pytest.approx(stacked[0].early, abs=1e-10)


@pytest.mark.parametrize("rule", RULE_NAMES)
def test_rerounding_moves_matrices_by_one_unit_in_the_last_place_and_nothing_else(rule):
    plain, moved, other = (initial(trial(rule), 64, 10, k) for k in (0, 1, 2))
    for name, value in plain.items():
        single, ours = value.float(), moved[name].float()
        if name not in ("W_x", "W", "W_o"):
            assert torch.equal(single, ours)
            continue
        above, below = (torch.nextafter(single, torch.tensor(s)) for s in (torch.inf, -torch.inf))
        up, down = ours == above, ours == below
        assert (up ^ down).all()
        assert 0.3 < up.double().mean() < 0.7
        assert not torch.equal(ours, other[name].float())
    assert torch.equal(moved["W"].float(), moved["W"].float().T)


def test_all_trainers_start_from_the_same_re_rounded_weights():
    one, data, train = trial(), digits(torch.float32), changed(TRAIN, epochs=1, rerounded=3)
    fits = [fit_trial(data, one, train, PLAIN), *fit_stack(data, [one], train, PLAIN)]
    fits += fit_fused(data, [one], train, PLAIN)
    (plain,) = fit_fused(data, [one], changed(train, rerounded=0), PLAIN)
    assert plain.parameter_hash != fits[-1].parameter_hash
    for fit in fits[1:]:
        assert fit.early == pytest.approx(fits[0].early, abs=1e-4)
