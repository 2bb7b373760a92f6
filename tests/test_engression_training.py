"""Training from start to stop: initial weights, patience, statuses, counters, streams."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from scripts.engression.models.network import (
    initial,
    parameter_count,
    views,
)
from scripts.engression.models.reference import module_of
from scripts.engression.models.stopping import Patience
from scripts.lib.seeds import seed63, stream
from tests.engression_fits import (
    ARMS,
    BOTH,
    CONFIG,
    STUDY,
    TRAINERS,
    WIDTHS,
    answer,
    largest_difference,
    losses,
    simulate,
    trained,
    unit_of,
    unit_row,
)


def test_the_network_has_16641_parameters():
    assert parameter_count(WIDTHS) == 16641
    assert sum(p.numel() for p in module_of(torch.zeros(16641), WIDTHS).parameters()) == 16641


@BOTH
def test_weights_and_biases_start_uniform_within_one_over_root_fan_in(dtype):
    flat = initial(WIDTHS, torch.Generator().manual_seed(3), dtype)
    assert flat.dtype == dtype
    scaled = []
    for (weight, bias), fan_in in zip(views(flat, WIDTHS), [128, 64, 64, 64], strict=True):
        assert weight.shape[1] == fan_in
        scaled.append((weight.double() * fan_in**0.5, bias.double() * fan_in**0.5))
    all_biases = torch.cat([bias for _, bias in scaled])
    for values in (*(weight for weight, _ in scaled), all_biases):
        assert float(values.abs().max()) <= 1 + 1e-6
        # U(-1, 1) has mean 0 and variance 1/3, its square has variance 4/45.
        count = values.numel()
        assert abs(float(values.mean())) < 4 * math.sqrt(1 / 3 / count)
        assert abs(float(values.square().mean()) - 1 / 3) < 4 * math.sqrt(4 / 45 / count)


@TRAINERS
def test_restore_best_gives_the_parameters_after_the_epoch_of_lowest_loss(trainer):
    settings = {"n": 40, "dtype": torch.float64, "m": 4, "lr": 3e-3, "patience": 5}
    last = trained(trainer, restore="last", **settings)
    best = trained(trainer, restore="best", **settings)
    lowest = int(losses(last).argmin())
    assert lowest + 1 < len(last.history)
    up_to_there = trained(trainer, restore="last", max_epochs=lowest + 1, **settings)
    assert best.history == last.history
    assert torch.equal(best.parameters, up_to_there.parameters)
    assert largest_difference(best.parameters, last.parameters) > 1e-4


@pytest.mark.parametrize("restore", ["last", "best"])
def test_reference_and_exact_restore_the_same_parameters(restore):
    settings = {"n": 40, "dtype": torch.float64, "m": 4, "lr": 3e-3, "patience": 5}
    reference, fast = (
        trained(trainer, restore=restore, **settings) for trainer in ("reference", "exact")
    )
    assert largest_difference(reference.parameters, fast.parameters) < 1e-8


@TRAINERS
def test_training_ends_after_exactly_patience_epochs_without_a_lower_loss(trainer):
    settings = {"n": 40, "dtype": torch.float64, "m": 4, "lr": 3e-3}
    for patience in (1, 5):
        fitted = trained(trainer, patience=patience, **settings)
        assert len(fitted.history) == int(losses(fitted).argmin()) + 1 + patience
        assert len(fitted.history) < CONFIG.train.max_epochs
        assert fitted.best_loss == float(losses(fitted).min())
        assert not fitted.diverged


@TRAINERS
def test_training_ends_at_the_last_epoch_allowed(trainer):
    assert len(trained(trainer, 20, torch.float32, m=4, max_epochs=3).history) == 3


@pytest.mark.parametrize("patience", [1, 2, 20])
def test_an_equal_loss_is_no_improvement(patience):
    rule = Patience(patience)
    assert rule.improved(1.0)
    for _ in range(patience):
        assert not rule.stopped
        assert not rule.improved(1.0)
    assert rule.stopped
    assert not rule.diverged


def test_the_smallest_decrease_is_an_improvement():
    rule = Patience(1)
    assert rule.improved(1.0)
    assert rule.improved(math.nextafter(1.0, 0.0))
    assert not rule.stopped


def test_a_lower_loss_resets_the_patience():
    rule = Patience(3)
    for loss in (1.0, 1.1, 1.2, 0.9, 1.0, 1.0):
        rule.improved(loss)
        assert not rule.stopped
    rule.improved(0.95)
    assert rule.stopped
    assert rule.best_loss == 0.9


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_ends_training_as_diverged(loss):
    rule = Patience(20)
    rule.improved(1.0)
    rule.improved(loss)
    assert rule.diverged
    assert rule.stopped


@TRAINERS
def test_steps_and_noise_rows_are_counted(trainer):
    fitted = trained(trainer, 130, torch.float32, m=4, max_epochs=3, draws_per_point=6)
    assert fitted.n_steps == 3 * 2
    per_point = 4 if trainer in ("reference", "cdist", "exact") else 6
    assert fitted.noise_rows == 3 * 130 * per_point


@ARMS
def test_a_last_batch_of_a_single_point_is_trained_on(arm):
    unit = ["normal", 129, 0]
    result = unit_row(arm, unit, early_steps=0, max_epochs=1)
    assert result["row"]["status"] == "ok"


def test_early_steps_take_early_draws():
    fitted = trained(
        "projected",
        130,
        torch.float32,
        max_epochs=3,
        draws_per_point=4,
        early_draws=8,
        early_steps=3,
    )
    assert fitted.noise_rows == (130 + 128) * 8 + (2 + 130) * 4


@TRAINERS
def test_the_phases_add_up_to_the_time_of_the_fit(trainer):
    unit = unit_of("normal", 20, 0, m=4, max_epochs=3)
    answer(trainer, unit)
    cost = unit.phases.columns()
    phases = [seconds for name, seconds in cost.items() if name not in ("fit_s", "cpu_s")]
    assert sum(phases) == pytest.approx(cost["fit_s"], rel=1e-6)


METRICS = {"final_loss", "best_loss", "mmd", "ks_p", "w1_test", "excess_loss"}


@ARMS
def test_a_unit_that_trains_well_has_status_ok_and_metrics(arm):
    unit = ["normal", 20, 0]
    row = unit_row(arm, unit, epochs=None)["row"]
    assert row["status"] == "ok"
    assert row.keys() >= METRICS
    assert all(math.isfinite(row[name]) for name in METRICS)
    assert all(map(math.isfinite, row["early_values"]))


@pytest.mark.parametrize("epochs", [3, 12])
def test_the_losses_of_a_row_are_those_of_its_history(epochs):
    unit = ["normal", 20, 0]
    result = unit_row("antithetic", unit, max_epochs=epochs)
    row, history = result["row"], result["histories"]
    final = [row["final_loss"], row["final_term1"], row["final_term2"]]
    assert [epochs, *final] == history[-1]
    assert row["best_loss"] == min(loss for _, loss, _, _ in history)
    assert row["n_epochs"] == len(history) == epochs
    assert row["hit_cap"] == 1


@ARMS
def test_a_unit_whose_loss_overflows_is_a_diverged_row_without_metrics(arm):
    unit = ["normal", 20, 0]
    x = np.full(20, 3e38, np.float32)
    result = unit_row(arm, unit, x, precision="single")
    assert result["row"]["status"] == "diverged"
    assert result["row"]["n_epochs"] == len(result["histories"]) == 1
    assert not METRICS & result["row"].keys()


@ARMS
@pytest.mark.parametrize("n", [20, 200])
def test_a_huge_learning_rate_never_yields_metrics(arm, n):
    unit = ["normal", n, 0]
    row = unit_row(arm, unit, lr=1e30, precision="single")["row"]
    assert row["status"] == "diverged"
    assert not METRICS & row.keys()


def test_a_unit_whose_first_layer_is_singular_is_a_failed_row(monkeypatch):
    def zero(widths, rng, dtype):
        return torch.zeros(parameter_count(widths), dtype=dtype)

    monkeypatch.setattr("scripts.engression.models.fit.initial", zero)
    unit = ["normal", 20, 0]
    result = unit_row("projected", unit)
    assert result["row"]["status"] == "failed"
    assert result["histories"] == []
    assert not METRICS & result["row"].keys()
    assert unit_row("pooled", unit)["row"]["status"] == "ok"


def numbers(result):
    """A unit's row and history without its timings."""
    row = {name: value for name, value in result["row"].items() if not name.endswith("_s")}
    return row, result["histories"]


@ARMS
def test_a_unit_has_the_same_bits_whatever_was_trained_before_it(arm):
    unit = ["normal", 20, 0]
    alone = numbers(unit_row(arm, unit))
    for other in (["chisquare", 20, 0], ["normal", 20, 1], ["normal", 130, 0]):
        assert numbers(unit_row(arm, other))[1] != alone[1]
        assert numbers(unit_row(arm, unit)) == alone


def test_global_random_state_is_neither_read_nor_changed():
    unit = ["normal", 20, 0]
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = [numbers(unit_row(arm, unit)) for arm in ("exact", "antithetic")]
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    again = [numbers(unit_row(arm, unit)) for arm in ("exact", "antithetic")]
    assert first == again


def test_samples_differ_between_units_and_root_seeds_only():
    units = [("normal", 20, 0), ("normal", 20, 1), ("normal", 21, 0), ("uniform", 20, 0)]
    other = replace(unit_of(*units[0]), seed=43)
    samples = [simulate(*unit) for unit in units] + [STUDY.module.data(other)["x"]]
    for a, b in itertools.combinations(samples, 2):
        assert not set(a.tolist()) & set(b.tolist())
    assert simulate(*units[0]).tolist() == samples[0].tolist()


def test_every_unit_and_purpose_of_the_study_has_a_stream_of_its_own():
    purposes = ("data", "init", "shuffle", "noise", "generate", "generate_test", "test")
    labels = list(itertools.product(CONFIG.axes.law, CONFIG.axes.n, range(CONFIG.reps), purposes))
    seeds = {seed63(stream(42, "engression", *label)) for label in labels}
    assert len(seeds) == len(labels)
    assert all(0 <= seed < 2**63 for seed in seeds)
