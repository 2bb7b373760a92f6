"""The truth is the reference in float64, wrong twins fail where the result arm passes."""

from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch

from scripts.lib.agreement import Declared, agree
from scripts.lib.contract import Study
from scripts.lib.faults import ConfigError
from scripts.lora_ablation import jobs, measured, prepare
from scripts.lora_ablation.data.cell import Cell, parts_of
from scripts.lora_ablation.data.layout import sd15_layout
from scripts.lora_ablation.data.split import split
from scripts.lora_ablation.models.reference import fit_reference
from scripts.lora_ablation.specs import AXES, EARLY, STUDY
from scripts.lora_ablation.unit import chosen, train_units
from tests.lora_cells import cell, configuration, gaussian, keys, options, section
from tests.lora_files import generated

DECLARED = Declared.model_validate(Study(STUDY, section(), AXES, {}, []).agreement())
RANK = 4


@cache
def real_cell() -> Cell:
    """simple_stats of 90 generated adapters, as the configuration's early cell has them."""
    shard = generated(90)
    tensors = shard.layout.selected("all")
    (x,) = chosen("union")(shard.matrix, shard.layout, [("simple_stats", tensors)])
    classes, y = np.unique(np.array(shard.labels), return_inverse=True)
    return Cell(x, y, classes.tolist(), parts_of(list(split("original", y, y)), 100, 42))


@cache
def early(arm: str) -> list[dict]:
    """Rows of an arm's early units."""
    (job,) = jobs.Jobs(section(), 42).train(arm, "simple_stats", [], early=True).cells()
    return [trained["row"] for trained in train_units(job, real_cell(), job.units)]


@cache
def featured(arm: str) -> list[dict]:
    """Rows of an arm's features at one rank."""
    job, stage = jobs.Jobs(section(), 42).prepare(arm), f"features_r{RANK}"
    return list(prepare.featured(job, stage, [u for u in job.units if u[0] == stage]))


def verdicts(rows, arm: str) -> dict[tuple[str, str], bool | None]:
    """Of every test that the shipped configuration declares for the arm and that applies here."""
    table = pd.DataFrame([*rows(arm), *rows("reference"), *rows("truth")])
    found = [row for row in agree(table, arm, DECLARED) if row["test"] != "reported"]
    return {(row["metric"], row["test"]): row["passed"] for row in found}


@pytest.mark.parametrize("arm", ["resident", "stacked"])
def test_a_right_arm_is_as_accurate_as_the_reference_in_its_first_steps(arm):
    assert verdicts(early, arm) == {
        ("pairs", "counted"): True,
        ("early_losses", "accurate"): True,
    }


@pytest.mark.parametrize("arm", ["unscaled", "no_decay"])
def test_control_a_wrong_training_fails_in_its_first_steps(arm):
    assert verdicts(early, arm)["early_losses", "accurate"] is False


@pytest.mark.parametrize("arm", ["resident", "layerwise"])
def test_right_features_are_within_the_tolerance_and_as_accurate_as_the_reference(arm):
    assert verdicts(featured, arm) == {
        ("pairs", "counted"): True,
        ("deviation", "accurate"): True,
        ("deviation", "at_most"): True,
    }


def test_control_quantiles_that_are_off_by_one_fail():
    found = verdicts(featured, "off_by_one")
    assert found["deviation", "accurate"] is False
    assert found["deviation", "at_most"] is False


def test_control_quantiles_that_are_off_by_one_spoil_what_has_quantiles_and_nothing_else():
    worst = pd.DataFrame(featured("off_by_one")).groupby("representation")["deviation"].max()
    wrong = {"simple_stats", "rank_based", "stats", "distribution", "ensemble"}
    assert set(worst[worst > 10].index) == wrong
    assert worst.drop(list(wrong)).max() <= 1


def test_every_control_of_the_configuration_is_one_of_these():
    assert section().with_role("control") == ["off_by_one", "unscaled", "no_decay"]


def test_the_truth_is_the_reference_up_to_rounding_at_the_first_step():
    train = options(max_epochs=1)
    for key in keys(3):
        single, double = (
            np.array(fit_reference(gaussian(), key, train, dtype).early_losses)
            for dtype in (torch.float32, torch.float64)
        )
        assert 0 < abs(single[0] - double[0]) < 1e-6
        assert np.abs(single - double).max() < 1e-4


def test_the_truth_has_its_features_standardised_in_float64():
    """A column far from 0: float32 has three digits of its deviations, float64 all."""
    made = gaussian()
    made.x = (1e4 + made.x).astype(np.float32)
    truth = fit_reference(made, keys(1)[0], options(max_epochs=1), torch.float64)
    shifted = gaussian()
    shifted.x = made.x - np.float32(1e4)
    expected = fit_reference(shifted, keys(1)[0], options(max_epochs=1), torch.float64)
    assert truth.early_losses == pytest.approx(expected.early_losses, rel=1e-9)


def test_features_of_the_truth_have_no_deviation():
    assert max(row["deviation"] for row in featured("truth")) < 1e-6
    assert max(row["deviation"] for row in featured("reference")) > 1e-3


def test_the_early_losses_are_those_of_the_steps_of_the_first_epoch():
    train = options(max_epochs=3, batch=8)
    made = cell()
    fitted = fit_reference(made, keys(1)[0], train, torch.float64)
    assert len(fitted.early_losses) == len(made.parts["train"]) // 8
    assert np.mean(fitted.early_losses) == pytest.approx(fitted.history[0][0], rel=1e-12)


def test_an_early_unit_has_losses_and_a_whole_one_what_it_is_worth():
    row = early("resident")[0]
    assert row["early_losses"]
    assert "test_accuracy" not in row
    job = jobs.Jobs(section(), 42).train("resident", "simple_stats", [("simple_stats", "all", 100)])
    short = job.model_copy(update={"train": job.train.model_copy(update={"max_epochs": 1})})
    whole = train_units(short, real_cell(), short.units[:1])[0]["row"]
    assert "early_losses" not in whole
    assert "test_accuracy" in whole


def test_truth_and_controls_train_no_whole_cell_and_switched_off_arms_no_early_one():
    config, planned = section(), jobs.Jobs(section(), 42).trains
    for arm in ("truth", "unscaled", "no_decay"):
        assert config.cells(arm) == []
        (job,) = (job for (name, _), job in planned.items() if name == arm)
        assert {unit[0] for unit in job.units} == {EARLY}
    assert config.early_of("loader_workers") is None
    assert config.early_of("batch_256") is None
    mixed = planned["resident", "simple_stats-0"]
    assert {unit[0] for unit in mixed.units} == {"train", EARLY}
    assert [part.train.hidden for part in mixed.cells()][-1] == config.early.hidden
    assert not [unit for unit in planned["resident", "spectral-0"].units if unit[0] == EARLY]


@pytest.mark.parametrize(
    "ways",
    [{"features": "union", "trainer": "reference"}, {"features": "loops", "trainer": "resident"}],
)
def test_float64_is_refused_for_ways_that_do_not_have_it(ways):
    arms = configuration()["arms"]
    arms["wrong"] = {"about": "x", "role": "original", "train": {"precision": "double"}} | ways
    with pytest.raises(ConfigError, match=r"wrong\.train\.precision has no effect"):
        section(arms=arms)


def test_one_tensor_of_each_shape_is_what_features_are_compared_on():
    shard = generated(2)
    matrix, layout = prepare.one_of_each_shape(shard)
    assert sorted(layout.shapes) == sorted(set(sd15_layout(1).shapes))
    for place, name in enumerate(layout.names):
        there = shard.layout.names.index(name)
        start, stop = shard.layout.offsets[there : there + 2]
        found = matrix[:, layout.offsets[place] : layout.offsets[place + 1]]
        assert np.array_equal(found, shard.matrix[:, start:stop])


def test_the_products_of_a_step_are_multiplied_as_the_trainer_does_for_as_many_steps(monkeypatch):
    """Three factors of each layer, but the first whose inputs have no gradient."""
    config = section()
    workload = config.measure.workloads["products"]
    counted = []
    monkeypatch.setattr(measured, "linear", lambda *factors: counted.append(factors[0].shape))
    monkeypatch.setattr(measured, "cell_of", lambda *_: real_cell())
    job = jobs.Jobs(config, 42).measured("resident", workload)
    short = job.model_copy(update={"train": job.train.model_copy(update={"batch": 16})})
    row = measured.products(short, {}, ["train", "simple_stats", "all", 100, 0])
    n_train = len(real_cell().parts["train"])
    assert row["n_steps"] == workload.max_epochs * (n_train // 16)
    assert len(counted) == row["n_steps"] * (4 + 4 + 3)
