"""Folds that are trained side by side are the folds that are trained alone."""

import math

import numpy as np
import pytest
import torch

from scripts.deep_gpcm import train
from scripts.deep_gpcm.checks import check
from scripts.deep_gpcm.jobs import Jobs
from scripts.deep_gpcm.models import lookup
from scripts.deep_gpcm.models.fit import Fit, fit
from scripts.deep_gpcm.models.stack import Stack, fit_stack
from scripts.deep_gpcm.settings import Limits
from scripts.lib.faults import ConfigError
from tests.gpcm_networks import LEVELS, RAGGED, apart, arm, configuration, fold, fold_file, furthest

OPTIONS = {"batch": 12, "epochs": 8, "lr": 0.03, "lr_patience": 0}
# Of 5, 6 and 2 batches: the folds end their epochs one after the other.
SIZES = (58, 61, 20)
KEYS = [(42, "deep_gpcm", "x", number) for number in range(len(SIZES))]


def folds(levels=LEVELS) -> list:
    return [
        fold(train=size, val=val, longest=12, levels=levels, seed=number)
        for number, (size, val) in enumerate(zip(SIZES, (20, 13, 7), strict=True))
    ]


def job(**changes):
    return arm("stacked", **OPTIONS | changes)


def all_apart(a: Fit, b: Fit) -> float:
    """Largest difference of losses, histories and weights."""
    return max(apart(a, b), furthest(a.net, b.net))


@pytest.fixture(scope="module", params=["levels alike", "ragged levels"])
def trained(request) -> tuple[list, list[Fit]]:
    """Folds, and each alone by the reference, in float64."""
    made = folds(RAGGED if request.param == "ragged levels" else LEVELS)
    reference = arm("reference", precision="double", **OPTIONS)
    return made, [fit(own, reference, key) for own, key in zip(made, KEYS, strict=True)]


def test_in_double_precision_a_stack_is_each_fold_by_the_reference(trained):
    made, expected = trained
    assert len({one.history[-1][3] for one in expected}) > 1, "step sizes of folds differ"
    for found, one in zip(fit_stack(made, job(precision="double"), KEYS), expected, strict=True):
        assert all_apart(found, one) <= 1e-9
        assert found.best_epoch == one.best_epoch
        assert found.n_answers == one.n_answers


def test_a_fold_is_the_same_in_any_company_and_in_any_order(trained):
    made, expected = trained
    for chosen in ([2], [2, 0], [1, 2, 0]):
        found = fit_stack(
            [made[i] for i in chosen], job(precision="double"), [KEYS[i] for i in chosen]
        )
        for place, number in enumerate(chosen):
            assert all_apart(found[place], expected[number]) <= 1e-9


def test_in_single_precision_the_first_epochs_are_the_reference_up_to_rounding():
    changes = {"epochs": 2, "keep": "last"}
    stack = fit_stack(folds(), job(**changes), KEYS)
    for found, data, key in zip(stack, folds(), KEYS, strict=True):
        alone = fit(data, arm("reference", **OPTIONS | changes), key)
        assert np.abs(np.subtract(found.losses, alone.losses)).max() <= 1e-5
        assert found.net.value_bias.dtype == torch.float32


def test_a_stack_that_takes_the_tables_of_another_fold_is_found_out(trained, monkeypatch):
    made, expected = trained
    picked = lookup.picked

    def of_the_first(tables, categories, question, response):
        questions = len(tables.keys) // len(made)
        return picked(tables, categories, question % questions, response)

    monkeypatch.setattr(lookup, "picked", of_the_first)
    found = fit_stack(made, job(precision="double"), KEYS)
    assert min(all_apart(*pair) for pair in zip(found, expected, strict=True)) > 1e-3


@pytest.mark.parametrize("keep", ["best", "last"])
@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_the_options_of_a_training_are_those_of_a_fold_alone(keep, optimizer):
    changes = {"keep": keep, "optimizer": optimizer, "schedule": "cosine_restarts", "restart": 3}
    changes |= {"weight_decay": 0.1, "clip": 0.05, "buckets": True, "loss": "double_softmax"}
    made = folds()[1:]
    found = fit_stack(made, job(precision="double", **changes), KEYS[1:])
    told = arm("reference", precision="double", **OPTIONS | changes)
    for one, data, key in zip(found, made, KEYS[1:], strict=True):
        assert all_apart(one, fit(data, told, key)) <= 1e-9


def test_a_fold_that_diverges_stops_and_the_others_go_on(trained, monkeypatch):
    made, expected = trained
    step, taken = Stack.step, []

    def breaking(stack, rates):
        step(stack, rates)
        taken.append(sorted(rates))
        if len(taken) == 8:
            with torch.no_grad():
                stack.parameters[1] = math.nan

    monkeypatch.setattr(Stack, "step", breaking)
    found = fit_stack(made, job(precision="double"), KEYS)
    assert [one.diverged for one in found] == [False, True, False]
    assert len(found[1].history) == 2
    # Three folds, and fewer where an epoch has ended; the second has none after its second epoch.
    assert taken[:6] == [[0, 1, 2], [0, 1, 2], [0, 1], [0, 1], [0, 1], [1]]
    assert not any(1 in rates for rates in taken[12:])
    for i in (0, 2):
        assert all_apart(found[i], expected[i]) <= 1e-9


def test_a_stack_trains_the_folds_that_are_missing_and_keeps_them_together(tmp_path, monkeypatch):
    paths = []
    for number in range(3):
        path, items = fold_file(fold(seed=number), tmp_path)
        paths.append(path.rename(tmp_path / f"{number}.parquet"))
    units = [["x", number] for number in range(3)]
    told = arm("stacked", units=units, epochs=1)
    store, calls, real = tmp_path / "units", [], train.train_units

    def counted(job, folds, units):
        calls.append([number for _, number in units])
        return real(job, folds, units)

    monkeypatch.setattr(train, "train_units", counted)
    monkeypatch.setattr(train, "unit_folder", lambda job: store)
    first = train.results(told, paths, items)
    (lost,) = store.glob("x_1-*.json")
    lost.unlink()
    again = train.results(told, paths, items)
    assert calls == [[0, 1, 2], [1]]
    assert [unit.row["fold"] for unit in again] == [0, 1, 2]
    assert again[0].row == first[0].row
    assert again[1].row["early_losses"] == pytest.approx(first[1].row["early_losses"], rel=1e-5)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"memory": "fused"}, "memory must be 'function' or 'triton', not 'fused'"),
        ({"evaluation": "hoisted"}, "evaluation must be 'tables', not 'hoisted'"),
        ({"step": "module"}, "step must be 'fused', not 'module'"),
        ({"train": {"accumulate": 2}}, "train.accumulate must be 1, not 2"),
        ({"train": {"padding": "masked"}}, "train.padding must be 'none', not 'masked'"),
        ({"train": {"autocast": True}}, "train.autocast must be false, not true"),
    ],
)
def test_what_a_stack_cannot_be_told_is_a_sentence(changes, said):
    section = configuration()
    own = section.arms["stacked"].model_copy(update={"run": Limits(folds=1)})
    if "train" in changes:
        changes = {"train": own.train.model_copy(update=changes["train"])}
    arms = section.arms | {"stacked": own.model_copy(update=changes)}
    with pytest.raises(ConfigError, match=rf"^Config: deep_gpcm.arms.stacked.trainer .* {said}\.$"):
        check(section.model_copy(update={"arms": arms}))
    off = arms["stacked"].model_copy(update={"run": Limits(folds=0)})
    check(section.model_copy(update={"arms": arms | {"stacked": off}}))


def test_a_step_of_one_fold_is_not_measured_as_a_stack():
    section = configuration()
    step = section.measure.workloads["step_t49"]
    loads = section.measure.workloads | {
        "step_t49": step.model_copy(update={"contestants": ["stacked"]})
    }
    measure = section.measure.model_copy(update={"workloads": loads})
    with pytest.raises(ConfigError, match="measures stacked, whose folds are trained side by side"):
        check(section.model_copy(update={"measure": measure}))


def test_jobs_are_stamped_with_their_own_trainer():
    told = Jobs(configuration(), 42).train("stacked", [])
    assert "stacked_trainer" in told.implementations()
    assert "alone_trainer" in Jobs(configuration(), 42).train("function", []).implementations()
