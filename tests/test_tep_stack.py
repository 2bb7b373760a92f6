"""A trial is the same bits whoever is in its stack, one that diverges too."""

import numpy as np
import pandas as pd
import pytest
import torch

from scripts.lib.timing import Phases
from scripts.tep_bp.jobs import trials_job
from scripts.tep_bp.models.interface import Data, Fit, batch_orders
from scripts.tep_bp.models.stacked import dynamics, stacked
from scripts.tep_bp.models.stacked import gradients as tep
from scripts.tep_bp.models.stacked.gradients import GRADIENTS, probabilities
from scripts.tep_bp.models.stacked.optimiser import Adam, contract
from scripts.tep_bp.models.stacked.stacked import batch, fit_stack, training
from scripts.tep_bp.options import Solver
from scripts.tep_bp.plans.ranking import ranked, top
from scripts.tep_bp.plans.sampling import as_trials
from scripts.tep_bp.plans.sampling import trials as planned
from scripts.tep_bp.plans.space import Trial
from scripts.tep_bp.specs import PlanRows, TrainJob
from scripts.tep_bp.unit import rows, trained
from tests.tep_files import read
from tests.tep_nets import ECONOMY, PLAIN, RULE_NAMES, TRAIN, changed, digits, trial
from tests.tep_searches import configuration
from tests.tep_space import SPACE

SINGLE, DOUBLE = torch.float32, torch.float64
SOLVERS = {"plain": PLAIN, "economy": ECONOMY}
# Rule, solver, width, batch size, samples: last batches of 29, 61, 125, 44, and 7 samples.
CASES = [
    ("tep", "plain", 8, 32, 125),
    ("tep", "economy", 16, 64, 125),
    ("tep", "plain", 24, 128, 125),
    ("tep", "economy", 32, 256, 300),
    ("tep", "plain", 64, 64, 71),
    ("tep", "economy", 128, 64, 125),
    ("rbp", "economy", 8, 64, 125),
    ("rbp", "plain", 24, 32, 125),
    ("rbp", "economy", 64, 128, 125),
    ("rbp", "plain", 128, 64, 71),
    ("bp", "plain", 8, 64, 125),
    ("bp", "plain", 32, 32, 125),
    ("bp", "plain", 128, 128, 125),
]


def many(rule: str, hidden: int, size: int, n: int = 16) -> list[Trial]:
    """Trials of one stack, which differ in all else."""
    space = changed(SPACE, hidden=[hidden], batch=[size])
    return as_trials(planned(space, "sobol", n, 7), rule)


def outcome(fit: Fit) -> str:
    """All that a fit says, to the last bit, but its cost."""
    said = (fit.parameter_hash, fit.curve, fit.losses, fit.predicted.tolist())
    return repr((*said, fit.diverged_epoch, fit.audit))


def outcomes(data: Data, stack: list[Trial], solver: Solver = PLAIN) -> dict[Trial, str]:
    return dict(zip(stack, map(outcome, fit_stack(data, stack, TRAIN, solver)), strict=True))


def unlike(data: Data, trials: list[Trial], solver: Solver = PLAIN) -> set[str]:
    """Ways of stacking in which some trial is not what it is in the whole stack."""
    whole = outcomes(data, trials, solver)
    ways = {
        "in five": [trials[:5]],
        "reversed": [trials[::-1]],
        "alone": [[t] for t in trials[2:6]],
    }
    return {
        way
        for way, stacks in ways.items()
        for stack in stacks
        if any(found != whole[one] for one, found in outcomes(data, stack, solver).items())
    }


@pytest.mark.parametrize(("rule", "solver", "hidden", "size", "n"), CASES)
def test_a_trial_is_the_same_bits_alone_in_five_in_sixteen_and_reversed(
    rule, solver, hidden, size, n
):
    assert unlike(digits(SINGLE, n), many(rule, hidden, size), SOLVERS[solver]) == set()


@pytest.mark.parametrize("rule", RULE_NAMES)
def test_a_trial_is_the_same_bits_in_double_precision(rule):
    assert unlike(digits(DOUBLE, 125), many(rule, 24, 64), ECONOMY) == set()


def orders_of_the_group(monkeypatch):
    real = stacked.training

    def drawn(data, trials, *rest):
        rng = batch_orders(trials[0])
        monkeypatch.setattr(stacked, "batch_orders", lambda one: rng)
        return real(data, trials, *rest)

    monkeypatch.setattr(stacked, "training", drawn)


def weights_of_the_group(monkeypatch):
    real = stacked.stacked_parameters

    def drawn(trials, *rest):
        first = trials[0].seed
        return real([one._replace(seed=first + i) for i, one in enumerate(trials)], *rest)

    monkeypatch.setattr(stacked, "stacked_parameters", drawn)


def nudge_over_the_group(monkeypatch):
    real = tep.subtract_truth
    monkeypatch.setattr(tep, "subtract_truth", lambda p, y: real(p, y).div_(len(p)))


def stop_of_the_group(monkeypatch):
    def iterate(first, start, image, steps, solver):
        h, spare = first, start
        for _ in range(steps - 1):
            h, spare = image(h, spare), h
            if (h - spare).abs().max() < 1e-2:
                break
        return h

    monkeypatch.setattr(dynamics, "iterate", iterate)


def clipping_of_the_group(monkeypatch):
    real = Adam.step
    monkeypatch.setattr(Adam, "step", lambda self, g: real(self, g * (1 / g.norm()).clamp(max=1)))


def last_bit_in_a_group(monkeypatch):
    def rounded(w, u, cap, steps):
        contract(w, u, cap, steps)
        w *= 1 + (len(w) == 16) * torch.finfo(w.dtype).eps

    monkeypatch.setattr(stacked, "contract", rounded)


FAULTS = [
    *(orders_of_the_group, weights_of_the_group, nudge_over_the_group),
    *(stop_of_the_group, clipping_of_the_group, last_bit_in_a_group),
]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_number_that_the_whole_group_shares_is_seen(fault, monkeypatch):
    data, trials = digits(SINGLE, 125), many("tep", 16, 64)
    fault(monkeypatch)
    assert outcomes(data, trials) == outcomes(data, trials)
    assert {"alone", "in five"} <= unlike(data, trials)


def job(**changes) -> TrainJob:
    """A job of the arm `stacked`, of the search, with the settings of these tests."""
    common = trials_job(configuration(), 42, "stacked", "tep")
    rows_ = PlanRows(plan="", start=0, count=0, widest=None)
    found = TrainJob.model_validate(dict(common) | {"stage": "search", "rows": rows_})
    return changed(found, train=TRAIN, solvers={"plain": PLAIN}, **changes)


def test_cutting_stacks_changes_nothing():
    space = changed(SPACE, hidden=[8, 24], batch=[32, 64])
    trials = as_trials(planned(space, "sobol", 20, 7), "tep")
    found = []
    for elements in (1, 5000, 10**9):
        fits = trained(digits(SINGLE, 125), trials, job(max_stack_elements=elements))
        found.append({one: outcome(fit) for one, fit in fits})
    assert set(found[0]) == set(trials)
    assert found[0] == found[1] == found[2]


def gradient_of(data: Data, one: Trial, chosen: torch.Tensor, y=None) -> torch.Tensor:
    """The gradient of a trial after an epoch of training, on the samples of these rows."""
    with torch.inference_mode():
        *_, (parameters, activation) = training(
            data, [one], changed(TRAIN, epochs=1), PLAIN, Phases()
        )
        x, own = batch(data, chosen[None])
        found, beta = parameters.like(), torch.full((1, 1, 1), one.beta, dtype=data.dtype)
        y = own if y is None else y[None]
        GRADIENTS[one.rule](x, y, parameters, activation, beta, PLAIN, found, Phases())
    return found.flat


@pytest.mark.parametrize(("dtype", "rounding"), [(SINGLE, 1e-5), (DOUBLE, 1e-13)])
@pytest.mark.parametrize("rule", RULE_NAMES)
def test_the_order_of_samples_in_a_batch_is_a_matter_of_rounding(rule, dtype, rounding):
    data, one, rows_ = digits(dtype), trial(rule), torch.arange(61)
    right = gradient_of(data, one, rows_)
    other = gradient_of(data, one, rows_.flip(0))
    wrong = gradient_of(data, one, rows_.flip(0), data.y[:61])
    assert (other - right).norm() <= rounding * right.norm()
    assert (wrong - right).norm() > 0.1 * right.norm()


def test_a_stacked_sample_is_nudged_alike_alone_and_in_a_batch():
    data, trials = digits(DOUBLE), many("tep", 32, 64, 3)
    trials.sort(key=lambda one: one.activation != "tanh")
    with torch.inference_mode():
        *_, (own, rho) = training(data, trials, TRAIN, PLAIN, Phases())
        beta = torch.tensor([one.beta for one in trials]).double()[:, None, None]

        def nudged(n: int, share: float = 1.0) -> torch.Tensor:
            x, y = batch(data, torch.arange(n).expand(3, n))
            driven = dynamics.drive(x, own.W_x, own.b)
            h = dynamics.free_phase(driven, own.W, rho, PLAIN)
            error = tep.subtract_truth(probabilities(h, own), y)
            return tep.nudged_states(h, error, driven, y, own, rho, beta * share, PLAIN)[:, 0]

        assert (nudged(64) - nudged(1)).abs().max() <= 1e-12
        assert (nudged(64, 1 / 64) - nudged(1)).abs().max() > 1e-4


@pytest.mark.parametrize("rule", RULE_NAMES)
def test_a_diverging_trial_leaves_its_neighbours_alone_and_never_wins(rule):
    data = digits(SINGLE, 125)
    calm = [one._replace(activation="relu") for one in many(rule, 16, 64, 5)]
    wild = calm[2]._replace(lr=1e37)
    stack = [*calm[:2], wild, *calm[3:]]
    fits, expected = fit_stack(data, stack, TRAIN, PLAIN), outcomes(data, calm)
    for place, fit in enumerate(fits):
        assert fit.status == ("diverged" if place == 2 else "ok")
        assert (fit.loss is None) == (place == 2)
        assert (outcome(fit) == expected[calm[place]]) == (place != 2)
    assert fits[2].diverged_epoch == 1


def test_the_row_of_a_diverged_trial_has_its_real_score_and_the_last_rank():
    calm = [one._replace(activation="relu", lr=1e-2) for one in many("tep", 16, 64, 4)]
    wild = calm[0]._replace(lr=1e30)
    found = pd.DataFrame(rows(job(), [wild, *calm[1:]], read({"kind": "digits"}, 0)))
    lost = found.iloc[0]
    assert (lost["status"], lost["diverged_epoch"]) == ("diverged", 1)
    assert np.isnan(lost["val_loss"])
    assert 0 < lost["val_accuracy"] < 0.2
    assert ranked(found)["trial"].tolist()[-1] == 0
    # It does not win among equals either.
    tied = found.assign(val_accuracy=lost["val_accuracy"])
    assert 0 not in top(tied, 3)["trial"].tolist()
