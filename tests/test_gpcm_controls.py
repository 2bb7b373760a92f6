"""Wrong memories that predict nearly as well are told from the reference by their losses."""

from functools import cache

import numpy as np
import pandas as pd
import pytest

from scripts.deep_gpcm.specs import AXES, GpcmJob
from scripts.deep_gpcm.unit import Unit
from scripts.lib.agreement import Declared, agree, verdicts
from scripts.lib.contract import Study
from tests.gpcm_networks import IMPLEMENTATIONS, arm, configuration, fold, trained_unit

CONTROLS = ("no_erase", "first_memory")
WIDER = {"memory_size": 10, "key_dim": 16, "value_dim": 32, "summary_dim": 16}


DECLARED = Declared.model_validate(Study("deep_gpcm", configuration(), AXES, {}, []).agreement())


@cache
def unit(name: str, number: int = 0) -> Unit:
    """An arm's unit of 20 steps."""
    return trained_unit(job(name, 2, 12), fold(120, 30, 40, longest=12, seed=number), ["x", number])


def job(name: str, epochs: int, batch: int) -> GpcmJob:
    made = arm(name, batch=batch, epochs=epochs, lr=5e-3)
    return made.model_copy(update={"model": made.model.model_copy(update=WIDER)})


@cache
def trained(name: str) -> Unit:
    """An arm's unit with enough to train and to test on for an accuracy."""
    return trained_unit(job(name, 12, 16), fold(150, 30, 150, longest=20), ["x", 0])


def losses(name: str) -> np.ndarray:
    return np.array(unit(name).row["early_losses"])


def judged(name: str) -> tuple[bool, str]:
    """The verdict on an arm by the tests that the shipped configuration declares for it."""
    sides = (name, "reference", "truth")
    rows = [unit(each, number).row for each in sides for number in range(5)]
    found = agree(pd.DataFrame(rows), name, DECLARED)
    return verdicts(pd.DataFrame(found))[name]


@pytest.mark.parametrize("name", CONTROLS)
def test_control_losses_of_a_wrong_memory_are_far_from_the_reference_s(name):
    assert len(losses(name)) == 20
    apart = np.abs(losses(name) - losses("reference"))
    assert apart.max() > 1e-3


def test_the_truth_is_the_reference_but_for_its_rounding():
    apart = np.abs(losses("truth") - losses("reference"))
    assert 0 < apart.max() < 1e-6


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
def test_implementations_pass_the_tests_that_the_configuration_declares(name):
    assert judged(name) == (True, "")


@pytest.mark.parametrize("name", CONTROLS)
def test_control_wrong_memories_fail_them_by_their_losses(name):
    passed, reason = judged(name)
    assert not passed
    assert "early_losses (accurate) at data = x" in reason


def test_control_accuracy_would_not_tell_that_nothing_is_erased():
    wrong, exact = trained("no_erase").row, trained("fused").row
    assert abs(wrong["accuracy"] - exact["accuracy"]) < 0.03
    assert abs(wrong["qwk"] - exact["qwk"]) < 0.03


def test_control_without_a_memory_answers_are_predicted_by_their_questions_alone():
    wrong, exact = (trained(name) for name in ("first_memory", "fused"))
    assert wrong.row["qwk"] < exact.row["qwk"] - 0.1
    for found, alike in ((wrong, True), (exact, False)):
        p = pd.DataFrame(found.predictions).groupby("question_id")["p_0"]
        assert ((p.max() - p.min()).max() < 1e-5) == alike
