"""Stacked and resident training is the reference's, and no run knows about its company."""

import numpy as np
import pytest
import torch

from scripts.lib.torch_rng import torch_rng
from scripts.lora_ablation.data.cell import standardisation
from scripts.lora_ablation.models.network import Shape
from scripts.lora_ablation.models.reference import fit_reference
from scripts.lora_ablation.models.run import Fit, Run
from scripts.lora_ablation.models.stack import Features, Stack, aligned, fit_stack, step_adam
from scripts.lora_ablation.specs import Train
from tests.lora_cells import cell, gaussian, keys, options

DOUBLE, SINGLE = torch.float64, torch.float32


def gap(a: Fit, b: Fit) -> float:
    """Largest difference of two histories; infinite if one is longer."""
    if len(a.history) != len(b.history):
        return np.inf
    return float(np.abs(np.array(a.history) - np.array(b.history)).max())


def same(a: Fit, b: Fit) -> bool:
    """Equal to the last bit."""
    return a.history == b.history and np.array_equal(a.predicted, b.predicted)


@pytest.mark.parametrize("made", [cell(), cell(noise=(2, 5)), cell(n_train=46), cell(n_train=50)])
def test_in_double_precision_whole_training_is_the_reference(made):
    train = options()
    for key, found in zip(keys(3), fit_stack(made, keys(3), train, DOUBLE), strict=True):
        expected = fit_reference(made, key, train, DOUBLE)
        assert gap(found, expected) <= 1e-12
        assert np.array_equal(found.predicted, expected.predicted)
        assert found.best_epoch == expected.best_epoch
        assert found.n_steps == expected.n_steps
        assert found.n_kept == expected.n_kept


def test_control_another_seed_is_another_training():
    train = options()
    (found,) = fit_stack(cell(), keys(1), train, DOUBLE)
    assert gap(found, fit_reference(cell(), keys(2)[1], train, DOUBLE)) > 1e-3


@pytest.mark.parametrize(
    "change", [{"weight_decay": 0.0}, {"dropout": 0.4}, {"lr": 0.0101}, {"betas": [0.9, 0.99]}]
)
def test_control_every_option_of_the_training_shows_in_the_history(change):
    (found,) = fit_stack(cell(), keys(1), options(patience=12), DOUBLE)
    assert gap(found, fit_reference(cell(), keys(1)[0], options(patience=12, **change), DOUBLE)) > (
        1e-9
    )


@pytest.mark.parametrize("made", [cell(), gaussian()])
def test_in_single_precision_the_first_epoch_has_the_reference_s_loss(made):
    train = options(max_epochs=1)
    for key, found in zip(keys(3), fit_stack(made, keys(3), train), strict=True):
        expected = fit_reference(made, key, train)
        assert found.history[0][0] == pytest.approx(expected.history[0][0], rel=1e-6)
        assert found.history[0][0] != fit_reference(made, (*key, 1), train).history[0][0]


def test_masked_columns_are_left_out_and_nothing_else_changes():
    made, train = cell(noise=(0, 7)), options()
    (found,) = fit_stack(made, keys(1), train, DOUBLE)
    expected = fit_reference(made, keys(1)[0], train, DOUBLE)
    assert (found.n_kept, expected.n_kept) == (8, 8)
    shapes = [Shape(columns, train.hidden, 3).size for columns in (8, 10)]
    assert [found.n_parameters, expected.n_parameters] == shapes
    assert gap(found, expected) <= 1e-12
    made.x[:, 0] = 5
    (other,) = fit_stack(made, keys(1), train, DOUBLE)
    assert same(found, other)


@pytest.mark.parametrize("dtype", [SINGLE, DOUBLE])
@pytest.mark.parametrize(
    ("columns", "n_train", "hidden"), [(10, 40, 16), (17, 46, 32), (33, 90, 32), (48, 50, 16)]
)
def test_a_run_s_bits_do_not_depend_on_its_company(columns, n_train, hidden, dtype):
    made, train = cell(columns, n_train=n_train), options(hidden=hidden, max_epochs=20, patience=4)
    together = fit_stack(made, keys(3), train, dtype)
    backwards = fit_stack(made, keys(3)[::-1], train, dtype)[::-1]
    for key, found, other in zip(keys(3), together, backwards, strict=True):
        assert same(found, other)
        assert same(found, fit_stack(made, [key], train, dtype)[0])


def test_a_run_goes_on_unchanged_when_others_have_stopped():
    train = options(hidden=16, max_epochs=25, patience=3)
    together = fit_stack(cell(), keys(5), train)
    lengths = [len(fit.history) for fit in together]
    assert min(lengths) < max(lengths)
    for key, found in zip(keys(5), together, strict=True):
        assert same(found, fit_stack(cell(), [key], train)[0])
        waited = len(found.history) - found.best_epoch
        assert waited == train.patience or len(found.history) == train.max_epochs


def test_rows_of_runs_lie_on_whole_lines_and_are_the_same_rows():
    x = torch.randn(3, 5, 7, generator=torch_rng(1))
    found = aligned(x)
    assert torch.equal(found, x)
    assert found.stride()[0] % 16 == 0
    whole = torch.zeros(3, 4, 8)
    assert aligned(whole) is whole


def stack_of(runs: int, train: Train, dtype: torch.dtype = SINGLE) -> tuple[Stack, list[Run]]:
    shape, made = Shape(5, 6, 3), [Run(key, train) for key in keys(runs)]
    return Stack(shape, torch.ones(5, dtype=torch.bool), made, dtype), made


@pytest.mark.parametrize("dtype", [SINGLE, DOUBLE])
def test_adam_is_pytorch_s_bit_for_bit_with_weight_decay(dtype):
    train = options(weight_decay=0.01)
    stack, runs = stack_of(2, train, dtype)
    runs[1].schedule.plateau.lr = 0.003
    settings = {"betas": tuple(train.betas), "eps": train.adam_eps, "weight_decay": 0.01}
    start = stack.parameters.clone()
    twins = [torch.nn.Parameter(row.clone()) for row in stack.parameters]
    plain = [torch.nn.Parameter(row.clone()) for row in stack.parameters]
    adams = [
        torch.optim.Adam([value], lr=run.schedule.lr, fused=fused, **settings)
        for values, fused in ((twins, True), (plain, False))
        for value, run in zip(values, runs, strict=True)
    ]
    rng, step = torch_rng(5), torch.tensor(0.0)
    for _ in range(20):
        stack.gradient.copy_(torch.randn(stack.gradient.shape, generator=rng))
        for place in range(2):
            twins[place].grad = plain[place].grad = stack.gradient[place].clone()
        for adam in adams:
            adam.step()
        step_adam(stack, runs, step, train)
        step += 1
    assert float((stack.parameters - start).abs().min()) > 0
    for place in range(2):
        assert torch.equal(stack.parameters[place], twins[place])
        assert torch.allclose(stack.parameters[place], plain[place], rtol=1e-5, atol=1e-7)


def test_runs_have_learning_rates_of_their_own():
    """Accuracies are made up: the first run improves at every epoch, the second one never."""
    train = options(lr=0.1, lr_factor=0.5, lr_patience=1, patience=10)
    stack, runs = stack_of(2, train)
    for epoch in range(4):
        for run, accuracy in zip(runs, (epoch / 10, 0.5), strict=True):
            run.end_epoch(1.0, accuracy, (), [])
    assert [run.schedule.lr for run in runs] == [0.1, 0.05]
    stack.gradient.fill_(1.0)
    before = stack.parameters.clone()
    step_adam(stack, runs, torch.tensor(0.0), train.model_copy(update={"weight_decay": 0.0}))
    moved = (before - stack.parameters).mean(1)
    assert moved.tolist() == pytest.approx([0.1, 0.05], rel=1e-4)


def test_in_a_stack_plateaus_of_one_run_do_not_slow_the_others():
    train = options(max_epochs=25, patience=25, lr_patience=0, lr_factor=0.1)
    together = fit_stack(cell(), keys(2), train, DOUBLE)
    constant = fit_stack(cell(), keys(2), train.model_copy(update={"lr_patience": 99}), DOUBLE)
    for key, found, free in zip(keys(2), together, constant, strict=True):
        assert gap(found, fit_reference(cell(), key, train, DOUBLE)) <= 1e-12
        assert gap(found, free) > 1e-3


def test_features_are_the_same_from_a_copy_and_on_demand(monkeypatch):
    made, rows = gaussian(), torch.tensor([3, 70, 3, 0])
    copied = Features(made, True, SINGLE).take(rows)
    monkeypatch.setattr("scripts.lora_ablation.models.stack.COPY_LIMIT", 0)
    demanded = Features(made, True, SINGLE)
    assert demanded.copy is None
    assert torch.equal(demanded.take(rows), copied)
    fitted = standardisation(made.x[made.parts["train"]], True)
    assert np.array_equal(copied.numpy(), fitted(made.x)[rows.numpy()])


def test_training_learns_what_the_columns_say():
    fits = fit_stack(cell(20), keys(2), options(hidden=32, max_epochs=40, dropout=0.1))
    made = cell(20)
    for found in fits:
        assert (found.predicted == made.y)[made.parts["test"]].mean() > 0.75
        assert not found.diverged


@pytest.mark.parametrize("trainer", ["stacked", "reference"])
def test_a_loss_that_is_not_finite_ends_the_run_as_diverged(trainer):
    train = options(lr=1e36)
    fits = {
        "stacked": lambda: fit_stack(cell(), keys(2), train),
        "reference": lambda: [fit_reference(cell(), keys(1)[0], train)],
    }[trainer]()
    for found in fits:
        assert found.diverged
        assert len(found.history) == 1
