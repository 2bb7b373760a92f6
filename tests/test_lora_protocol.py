"""What surrounds the gradient: schedule, split, standardisation, scores, and legacy switches."""

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score
from sklearn.preprocessing import StandardScaler

from scripts.lib.confusion import confusion
from scripts.lib.faults import LoadError
from scripts.lib.torch_rng import torch_rng
from scripts.lora_ablation.data.cell import (
    Cell,
    check_trained_classes,
    near_constant,
    parts_of,
    standardisation,
)
from scripts.lora_ablation.models.reference import fit_reference, standardised
from scripts.lora_ablation.models.run import Run, Schedule, batches
from scripts.lora_ablation.models.stack import fit_stack
from scripts.lora_ablation.unit import scores
from tests.lora_cells import cell, gaussian, keys, options

DOUBLE = torch.float64


def torch_rates(accuracies: list[float], lr: float, factor: float, patience: int) -> list[float]:
    """Learning rate after each epoch by PyTorch's scheduler."""
    adam = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
        adam, mode="max", factor=factor, patience=patience
    )
    rates = []
    for accuracy in accuracies:
        plateau.step(accuracy)
        rates.append(adam.param_groups[0]["lr"])
    return rates


def original_loop(accuracies: list[float], patience: int) -> tuple[int, int]:
    """Best epoch and last epoch by the original's early stopping."""
    best, best_epoch, waited = -1.0, 0, 0
    for epoch, accuracy in enumerate(accuracies, start=1):
        if accuracy > best:
            best, best_epoch, waited = accuracy, epoch, 0
        else:
            waited += 1
        if waited >= patience:
            return best_epoch, epoch
    return best_epoch, len(accuracies)


@pytest.mark.parametrize("seed", range(40))
def test_the_schedule_is_pytorch_s_plateau_and_the_original_s_early_stopping(seed):
    rng = np.random.default_rng(seed)
    lr_patience, patience = (int(value) for value in rng.integers([0, 1], [6, 16]))
    factor = float(rng.choice([0.5, 0.1]))
    steps = rng.integers(1, 400)  # few different values: many ties, and accuracies that are close
    trend = np.linspace(0, rng.random(), 120)
    accuracies = (np.clip(trend + 0.1 * rng.random(120), 0, 1) * steps).round() / steps
    schedule, rates = Schedule(1e-3, factor, lr_patience, patience), []
    best_epoch, last = original_loop(accuracies.tolist(), patience)
    for epoch, accuracy in enumerate(accuracies.tolist(), start=1):
        previous = accuracies[: epoch - 1]
        assert schedule.improved(accuracy) is bool(epoch == 1 or accuracy > previous.max())
        rates.append(schedule.lr)
        assert schedule.stopped is (epoch == last and last - best_epoch == patience)
        if epoch == last:
            break
    assert schedule.best_epoch == best_epoch
    assert rates == torch_rates(accuracies.tolist(), 1e-3, factor, lr_patience)[:last]


def test_a_learning_rate_falls_no_further_than_pytorch_s():
    schedule, rates = Schedule(1e-6, 0.1, 0, 99), []
    for _ in range(9):
        schedule.improved(0.5)
        rates.append(schedule.lr)
    assert rates == torch_rates([0.5] * 9, 1e-6, 0.1, 0)
    assert rates[-1] == rates[-2] > 1e-9


def test_a_gain_below_pytorch_s_threshold_spares_the_run_and_lowers_the_rate():
    schedule, rates = Schedule(1e-3, 0.5, 1, 3), []
    accuracies = [0.5 + 2e-5 * epoch for epoch in range(9)]
    for accuracy in accuracies:
        assert schedule.improved(accuracy)
        rates.append(schedule.lr)
    assert rates == torch_rates(accuracies, 1e-3, 0.5, 1)
    assert rates[2] < rates[0]
    assert not schedule.stopped


def test_a_tie_is_no_improvement_and_accuracy_zero_in_the_first_epoch_is_one():
    schedule = Schedule(1e-3, 0.5, 10, 3)
    assert [schedule.improved(value) for value in (0.0, 0.0, 0.0)] == [True, False, False]
    assert not schedule.stopped
    assert not schedule.improved(0.0)
    assert schedule.stopped
    assert schedule.best_epoch == 1


def test_a_run_without_a_single_right_answer_still_gives_predictions():
    made = cell()
    wrong = made.y.copy()
    wrong[made.parts["val"]] = 3  # a class that no training row has
    made = Cell(made.x, wrong, [*made.classes, "emu"], made.parts)
    train = options(patience=2)
    for found in (fit_reference(made, keys(1)[0], train), fit_stack(made, keys(1), train)[0]):
        assert [accuracy for _, accuracy in found.history] == [0.0] * 3
        assert found.best_epoch == 1
        assert len(found.predicted) == len(made.y)


def test_shares_of_the_training_rows_are_nested_and_spare_the_others():
    split = ["val", "train", "train", "test"] * 30
    parts = {share: parts_of(split, share, 42) for share in (10, 25, 50, 100)}
    rows = {share: set(found["train"].tolist()) for share, found in parts.items()}
    assert [len(found) for found in rows.values()] == [6, 15, 30, 60]
    assert rows[10] < rows[25] < rows[50] < rows[100]
    assert rows[10] != set(sorted(rows[100])[:6])
    assert rows[25] != set(parts_of(split, 25, 43)["train"].tolist())
    for found in parts.values():
        assert found["val"].tolist() == list(range(0, 120, 4))
        assert found["test"].tolist() == list(range(3, 120, 4))


@pytest.mark.parametrize(
    ("split", "said"),
    [
        (["smoke"] * 7, "the part 'smoke' is unknown"),
        (["train"] * 7 + ["val"], "the part test is empty"),
        (["train", "val", "test"] * 4, "A share of 25 % of 4 training adapters is 1"),
    ],
)
def test_a_split_without_a_part_or_with_too_small_a_share_is_refused(split, said):
    with pytest.raises(LoadError, match=said):
        parts_of(split, 25, 42)


def test_a_share_that_lost_a_class_is_told_and_one_of_a_single_class_is_refused(caplog):
    made = cell()
    check_trained_classes(made, 100)
    assert not caplog.text
    made.parts["train"] = made.parts["train"][made.y[made.parts["train"]] != 1]
    check_trained_classes(made, 10)
    assert "A share of 10 % of the training adapters has none of 1 of the 3 classes." in caplog.text
    made.parts["train"] = made.parts["train"][made.y[made.parts["train"]] != 2]
    with pytest.raises(LoadError, match=f"5 % .* has class '{made.classes[0]}' only"):
        check_trained_classes(made, 5)


def test_a_last_batch_of_one_row_is_left_out_and_no_other():
    for n, sizes in [(17, [8, 8]), (18, [8, 8, 2]), (16, [8, 8]), (1, [1])]:
        found = batches(n, 8, torch_rng(1))
        assert [len(batch) for batch in found] == sizes
        assert len(set(torch.cat(found).tolist())) == sum(sizes)
    order = torch.randperm(18, generator=torch_rng(1))
    assert torch.equal(torch.cat(batches(18, 8, torch_rng(1))), order)


def test_batch_norm_does_not_meet_a_batch_of_one_row():
    made = cell(n_train=42)
    made.parts["train"] = made.parts["train"][:41]
    train = options(max_epochs=3)
    for found in (fit_reference(made, keys(1)[0], train), fit_stack(made, keys(1), train)[0]):
        assert found.n_steps == 3 * 5
        assert not found.diverged
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        torch.nn.BatchNorm1d(3)(torch.ones(1, 3))


def test_the_digest_covers_everything_that_is_trained_on():
    digests = {cell().digest()}
    assert digests == {cell().digest()}
    others = [cell() for _ in range(5)]
    others[0].x[3, 2] += 1
    others[1].y[0] = (others[1].y[0] + 1) % 3
    others[2].parts["train"] = others[2].parts["train"][1:]
    others[3].parts = others[3].parts | {
        "val": others[3].parts["test"], "test": others[3].parts["val"]
    }  # fmt: skip
    others[4].classes = ["bird", "cat", "wolf"]
    assert len(digests | {other.digest() for other in others}) == 6


def test_standardisation_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((300, 6)).astype(np.float32) * np.float32([1, 1e-4, 50, 1, 1, 3])
    x += np.float32([0, 0, 10, 2, 0, -1])
    x[:, 4], x[:, 3] = 7, 0
    found, scaler = standardisation(x[:200], mask=False), StandardScaler().fit(x[:200])
    assert found.kept.all()
    assert found.scale[3] == found.scale[4] == 1
    assert found.scale == pytest.approx(scaler.scale_, rel=1e-6)
    assert found(x) == pytest.approx(scaler.transform(x), rel=1e-6, abs=1e-6)
    assert not found(x)[:, 3:5].any()
    masked = standardisation(x[:200], mask=True)
    assert masked.kept.tolist() == [True, True, True, False, False, True]
    assert np.array_equal(masked(x), found(x)[:, masked.kept])


def test_columns_of_rounding_noise_are_masked_and_small_ones_are_not():
    noise = np.random.default_rng(1).standard_normal((500, 1))
    columns = [1 + 1e-8 * noise, 1 + 1e-6 * noise, 1000 + 5e-4 * noise, 2e-6 * noise]
    columns += [1 + 4e-6 * noise, 1 + 0.1 * noise]
    found = standardisation(np.hstack(columns).astype(np.float32), mask=True)
    assert found.kept.tolist() == [False, False, False, True, True, True]
    assert near_constant(np.float64(1), np.float64(2e-6))
    assert not near_constant(np.float64(1), np.float64(2.1e-6))


@pytest.mark.parametrize("mean", [0, 10, 1e3, 1e5, -3e6])
def test_the_spread_is_accurate_however_large_the_mean(mean):
    x = (mean + np.random.default_rng(2).standard_normal((1000, 3))).astype(np.float32)
    found = standardisation(x, mask=False)
    assert found.scale == pytest.approx(x.astype(np.float64).std(0), rel=1e-6)
    assert found.mean == pytest.approx(x.astype(np.float64).mean(0), rel=1e-6)


@pytest.mark.parametrize("seed", range(20))
def test_scores_are_those_of_scikit_learn_whatever_classes_are_absent(seed):
    rng = np.random.default_rng(seed)
    n, classes = int(rng.integers(1, 60)), int(rng.integers(2, 9))
    truth = rng.choice(rng.permutation(classes)[: rng.integers(1, classes + 1)], n)
    predicted = rng.choice(rng.permutation(classes)[: rng.integers(1, classes + 1)], n)
    found, macro = scores(truth, predicted, classes), {"average": "macro", "zero_division": 0}
    assert found["accuracy"] == pytest.approx(accuracy_score(truth, predicted))
    assert found["f1"] == pytest.approx(f1_score(truth, predicted, **macro))
    assert found["precision"] == pytest.approx(precision_score(truth, predicted, **macro))
    assert found["recall"] == pytest.approx(recall_score(truth, predicted, **macro))
    counts = confusion(truth, predicted, classes)
    assert (
        counts[truth[0], predicted[0]] == ((truth == truth[0]) & (predicted == predicted[0])).sum()
    )


def aliased(self: Run, loss: float, accuracy: float, state: tuple, steps: list) -> None:
    """Keep the best state as the original does: `best = net.state_dict()`, which copies nothing."""
    self.history.append((loss, float(accuracy)))
    if self.schedule.improved(float(accuracy)):
        self.state = state


def test_legacy_restore_evaluates_the_last_weights_as_the_original_does_unknowingly(monkeypatch):
    made, train, key = cell(), options(max_epochs=20), keys(1)
    legacy = train.model_copy(update={"legacy_restore": True})
    (best,) = fit_stack(made, key, train, DOUBLE)
    (last,) = fit_stack(made, key, legacy, DOUBLE)
    assert best.best_epoch < len(best.history)
    assert not np.array_equal(best.predicted, last.predicted)
    assert best.history == last.history
    (short,) = fit_stack(
        made, key, legacy.model_copy(update={"max_epochs": best.best_epoch}), DOUBLE
    )
    assert np.array_equal(best.predicted, short.predicted)
    right = (best.predicted == made.y)[made.parts["val"]].mean()
    assert right == best.history[best.best_epoch - 1][1] == max(a for _, a in best.history)
    assert np.array_equal(fit_reference(made, key[0], legacy, DOUBLE).predicted, last.predicted)
    monkeypatch.setattr(Run, "end_epoch", aliased)
    source = fit_reference(made, key[0], train, DOUBLE)
    assert np.array_equal(source.predicted, last.predicted)


def test_legacy_noise_keeps_all_columns_and_is_plain_standard_scaler_training():
    made, train = cell(noise=(2, 5)), options(legacy_noise=True)
    plain = StandardScaler().fit(made.x[made.parts["train"]]).transform(made.x)
    assert np.array_equal(standardised(made, train), plain)
    assert np.abs(plain[:, [2, 5]]).max() > 1
    assert not standardised(made, options())[:, [2, 5]].any()
    (found,), expected = fit_stack(made, keys(1), train), fit_reference(made, keys(1)[0], train)
    assert (found.n_kept, expected.n_kept) == (10, 10)
    assert found.history[0][0] == pytest.approx(expected.history[0][0], rel=1e-5)
    (masked,) = fit_stack(made, keys(1), options())
    assert abs(found.history[0][0] - masked.history[0][0]) > 1e-3


def test_the_guide_normalises_by_the_sample_standard_deviation():
    made = gaussian()
    x = made.x.astype(np.float64)
    rows = x[made.parts["train"]]
    expected = (x - rows.mean(0)) / (rows.std(0, ddof=1) + 1e-8)
    found = standardised(made, options(normalise="guide"))
    assert found.dtype == np.float32
    assert found == pytest.approx(expected, rel=1e-5, abs=1e-5)
    scaler = standardised(made, options())
    assert scaler == pytest.approx(found * (40 / 39) ** 0.5, rel=1e-5, abs=1e-5)
    assert np.abs(scaler - found).max() > 0.01


def test_data_loader_workers_change_no_bit():
    train = options(max_epochs=2)
    found = fit_reference(cell(), keys(1)[0], train.model_copy(update={"workers": 2}))
    expected = fit_reference(cell(), keys(1)[0], train)
    assert found.history == expected.history
    assert np.array_equal(found.predicted, expected.predicted)


def test_autocast_moves_the_loss_a_little():
    train = options(max_epochs=2, hidden=32)
    plain, cast = (
        fit_reference(cell(), keys(1)[0], train.model_copy(update={"autocast": on}))
        for on in (False, True)
    )
    assert 0 < abs(plain.history[0][0] / cast.history[0][0] - 1) < 0.05


def test_the_scripted_network_trains_with_masks_of_its_own_and_repeatably():
    train = options(max_epochs=3, hidden=16)
    first, again = (
        fit_reference(cell(), keys(1)[0], train.model_copy(update={"script": True}))
        for _ in range(2)
    )
    assert first.history == again.history
    assert first.history != fit_reference(cell(), keys(1)[0], train).history
    assert not first.diverged
    no_masks = train.model_copy(update={"dropout": 0.0})
    scripted, eager = (
        fit_reference(cell(), keys(1)[0], no_masks.model_copy(update={"script": on}), DOUBLE)
        for on in (True, False)
    )
    assert np.array(scripted.history) == pytest.approx(np.array(eager.history), abs=1e-9)
