"""The truth, what is as accurate as the reference, and the wrong twins that must fail."""

import functools

import pandas as pd
import pytest
import torch

from scripts.engression.laws import LAWS
from scripts.lib.agreement import Declared, agree
from scripts.spine.train import train_unit
from tests.engression_fits import (
    CONFIG,
    JOBS,
    STUDY,
    largest_difference,
    losses,
    simulate,
    trained,
    unit_of,
)

CONTROLS = CONFIG.with_role("control")


@functools.cache
def rows(arm: str, reps: int, epochs: int | None = None) -> list[dict]:
    """Rows of an arm at n = 500, the first replications of every law, stopped early if told."""
    job = JOBS.train(arm, "reps-000-003")
    job = job.model_copy(update={"options": job.options | {"epochs": epochs}})
    units = [[law, 500, rep] for law in LAWS for rep in range(reps)]
    return [train_unit(STUDY, job, unit, {"x": simulate(*unit)})["row"] for unit in units]


def judged(arm: str, test: str, runs: list[dict], truth: str | None) -> list[dict]:
    """Rows of one of the tests that an arm has to pass, on fewer pairs than its claim asks for."""
    claim = CONFIG.arms[arm].claim.model_copy(update={"min_pairs": 2})
    declared = Declared(
        agreement=CONFIG.agreement,
        axes=STUDY.axes,
        reference="reference",
        truth=truth,
        arms={arm: claim},
    )
    return [row for row in agree(pd.DataFrame(runs), arm, declared) if row["test"] == test]


def test_truth_and_reference_agree_to_rounding_at_the_first_step():
    for law in LAWS:
        single, double = (
            trained("reference", 100, torch.float32, law, max_epochs=1, precision=precision)
            for precision in ("single", "double")
        )
        assert double.parameters.dtype == torch.float64
        assert largest_difference(losses(single), losses(double)) < 1e-6 * float(losses(double)[0])
        # A step is 1e-4; entries whose gradient is rounding itself may go either way.
        apart = (single.parameters - double.parameters).abs()
        assert float(apart.median()) < 1e-8
        assert float((apart > 1e-6).double().mean()) < 1e-2


@pytest.mark.parametrize("trainer", ["reference", "exact", "pooled", "projected"])
def test_both_precisions_of_an_arm_have_the_same_draws(trainer):
    single, double = (
        trained(trainer, 100, torch.float32, max_epochs=2, precision=precision)
        for precision in ("single", "double")
    )
    assert largest_difference(losses(single), losses(double)) < 1e-6
    assert double.parameters.dtype == torch.float64


def test_an_arm_that_stops_early_has_the_early_values_of_a_whole_training_and_no_other():
    whole, early = (
        STUDY.evaluate(unit, STUDY.implementations["exact"](unit))
        for unit in (unit_of("normal", 20, 0, m=4, max_epochs=9),
                     unit_of("normal", 20, 0, m=4, max_epochs=9, epochs=5))
    )  # fmt: skip
    assert whole["early_values"] == early["early_values"]
    assert len(set(early["early_values"])) == 64
    assert (whole["n_epochs"], early["n_epochs"]) == (9, 5)
    assert "w1_test" in whole
    assert "w1_test" not in early


def test_exact_is_as_accurate_as_the_reference_and_the_gradient_of_cdist_is_not():
    """On the units of the default run at n = 500, each arm stopped after 5 epochs."""
    found = {}
    for arm in ("exact", "cdist_gradient"):
        runs = [row for name in ("reference", "truth", arm) for row in rows(name, 2, epochs=5)]
        (found[arm],) = judged(arm, "accurate", runs, "truth")
        assert found[arm]["n_pairs"] == 10
    assert found["exact"]["passed"] is True
    assert found["cdist_gradient"]["passed"] is False
    assert found["cdist_gradient"]["low"] > CONFIG.agreement.factor
    both = [CONFIG.arms[arm].claim.accurate for arm in found]
    assert both[0] == both[1]


def test_the_wrong_twins_fail_what_the_result_arm_passes():
    """Against `pooled`, which passes as well and costs a tenth of the reference."""
    arms = (CONFIG.result, "spread_twice", "unit_noise")
    assert len({CONFIG.arms[arm].claim.model_dump_json() for arm in arms}) == 1
    stand_in = [row | {"arm": "reference"} for row in rows("pooled", 1)]
    for arm in arms:
        found = judged(arm, "not_worse", [*stand_in, *rows(arm, 1)], None)
        assert len(found) == 2
        if arm == CONFIG.result:
            assert all(row["difference"] < row["margin"] for row in found)
        else:
            assert any(row["passed"] is False for row in found)
            assert all(row["difference"] > 1 for row in found)


def test_every_control_is_run_by_default_on_units_of_the_reference_and_the_truth():
    assert set(CONTROLS) == {"cdist_gradient", "spread_twice", "unit_noise"}
    block = JOBS.blocks["reps-000-003"]
    for arm in CONTROLS:
        units = JOBS.of_arm(arm, block)
        assert len(units) == 10
        others = ["reference", "truth"] if CONFIG.arms[arm].claim.accurate else ["reference"]
        assert all(unit in JOBS.of_arm(other, block) for other in others for unit in units)
