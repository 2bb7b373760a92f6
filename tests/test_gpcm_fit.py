"""Whole trainings: all implementations are one; options do what they say, and nothing else does."""

import math
from functools import cache

import numpy as np
import pytest
import torch

from scripts.deep_gpcm.data.fold import PARTS, Fold, Sequences, read_fold
from scripts.deep_gpcm.models import fit as module
from scripts.deep_gpcm.models.fit import Fit, fit
from tests.gpcm_networks import (
    IMPLEMENTATIONS,
    RAGGED,
    SINGLE,
    apart,
    arm,
    fold,
    fold_file,
    furthest,
    trained_unit,
)

KEY = (42, "deep_gpcm", "x", 0)
UNIT = ["x", 0]


def same(a: Fit, b: Fit) -> bool:
    """Equal to the last bit."""
    weights = zip(a.net.parameters(), b.net.parameters(), strict=True)
    return a.history == b.history and a.losses == b.losses and all(torch.equal(*w) for w in weights)


@pytest.fixture(scope="module", params=["levels alike", "ragged levels"])
def reference(request) -> tuple[Fold, dict[torch.dtype, Fit]]:
    """A fold and the reference's trainings on it: 8 epochs of 5 steps."""
    levels = {"levels": RAGGED} if request.param == "ragged levels" else {}
    data = fold(train=58, val=20, longest=12, **levels)
    options = {"batch": 12, "epochs": 8, "lr": 0.03, "lr_patience": 0}
    jobs = {kind: arm("reference", precision=kind, **options) for kind in ("double", "single")}
    return data, {kind: fit(data, job, KEY) for kind, job in jobs.items()}


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # on one core
@pytest.mark.parametrize("name", IMPLEMENTATIONS)
def test_in_double_precision_whole_trainings_are_the_reference(reference, name):
    data, expected = reference
    assert expected["double"].history[-1][3] < 0.03
    job = arm(name, batch=12, epochs=8, lr=0.03, lr_patience=0, precision="double")
    found = fit(data, job, KEY)
    assert apart(found, expected["double"]) <= 1e-9
    assert furthest(found.net, expected["double"].net) <= 1e-9
    assert found.best_epoch == expected["double"].best_epoch
    assert found.n_answers == expected["double"].n_answers


@cache
def sixty_steps(name: str) -> Fit:
    options = {"batch": 10, "epochs": 10, "keep": "last"}
    return fit(fold(train=60, val=20, longest=12), arm(name, **options), KEY)


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("name", IMPLEMENTATIONS)
def test_in_single_precision_sixty_steps_are_the_reference_up_to_rounding(name):
    found, expected = sixty_steps(name), sixty_steps("reference")
    assert len(found.losses) == 60
    assert np.abs(np.subtract(found.losses, expected.losses)).max() <= 1e-6
    assert furthest(found.net, expected.net) <= 1e-5
    assert (name == "loader_workers") <= same(found, expected)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the compiler, on its own parts
def test_compiled_heads_train_as_the_reference(reference):
    data, expected = reference
    job = arm("compiled", batch=12, epochs=8, lr=0.03, lr_patience=0)
    found = fit(data, job, KEY)
    assert apart(found, expected["single"]) <= 1e-4
    assert apart(found, expected["single"]) > 0


def test_control_another_shuffle_or_start_is_another_training():
    job = arm("fused", precision="double")
    found = [fit(fold(), job, (seed, "deep_gpcm", "x", 0)) for seed in (42, 43)]
    assert apart(*found) > 1e-3


@pytest.mark.parametrize(
    "change",
    [
        {"weight_decay": 0.1},
        {"betas": [0.8, 0.999]},
        {"adam_eps": 1e-3},
        {"clip": 0.01},
        {"optimizer": "adamw", "weight_decay": 0.1},
        {"schedule": "cosine_restarts", "restart": 4},
        {"lr_factor": 0.1, "lr_patience": 0},
        {"buckets": True, "batch": 5},
        {"loss": "double_softmax"},
        {"padding": "counted"},
        {"zero_id": True},
        {"autocast": True},
    ],
    ids=lambda change: "-".join(change),
)
def test_control_every_option_of_the_training_shows_in_its_history(change):
    base = {"epochs": 10, "lr": 0.02} | ({"batch": 5} if "batch" in change else {})
    data = fold()
    plain, found = (fit(data, arm("fused", **base, **c), KEY) for c in ({}, _but(change, base)))
    assert apart(plain, found) > 1e-5


def _but(change: dict, base: dict) -> dict:
    return {name: value for name, value in change.items() if name not in base}


def scripted(monkeypatch, scores: list[float]) -> list[dict]:
    """Let the epochs' validation QWK be `scores`; the weights at the end of each are recorded."""
    weights, left = [], iter(scores)

    def validate(net, *_):
        weights.append({name: value.clone() for name, value in net.state_dict().items()})
        return 1.0, next(left)

    monkeypatch.setattr(module, "validate", validate)
    return weights


@pytest.mark.parametrize(
    ("keep", "scores", "best"),
    [
        ("best", [0.1, 0.3, 0.2, 0.3], 2),
        ("best", [-0.3, -0.1, -0.2, -0.2], 2),
        ("best", [0.3, 0.1, 0.2, 0.1], 1),
        ("best", [0.1, 0.2, 0.3, 0.4], 4),
        ("last", [0.1, 0.3, 0.2, 0.1], 4),
    ],
)
def test_the_weights_kept_are_those_of_the_epoch_that_is_said(monkeypatch, keep, scores, best):
    weights = scripted(monkeypatch, scores)
    found = fit(fold(), arm("fused", epochs=4, keep=keep), KEY)
    assert found.best_epoch == best
    end = found.net.state_dict()
    equal = [all(torch.equal(end[name], epoch[name]) for name in end) for epoch in weights]
    assert equal == [number == best for number in range(1, 5)]


def test_the_rate_falls_with_the_scores_of_the_validation(monkeypatch):
    scripted(monkeypatch, [0.2, 0.1, 0.1, 0.3, 0.1, 0.1])
    job = arm("fused", epochs=6, lr=0.01, lr_factor=0.5, lr_patience=1)
    rates = [epoch[3] for epoch in fit(fold(), job, KEY).history]
    assert rates == [0.01, 0.01, 0.01, 0.005, 0.005, 0.005]


@pytest.mark.parametrize("name", ["reference", "fused", "zero_id"])
def test_a_rate_beyond_all_bounds_is_a_row_that_diverged_and_has_no_metrics(name):
    found = trained_unit(arm(name, lr=1e30), fold(), UNIT)
    assert found.row["status"] == "diverged"
    assert not {"nll", "qwk", "accuracy"} & set(found.row)
    assert found.row["n_epochs"] == 1


def test_the_damage_of_the_very_last_step_is_seen_too():
    found = trained_unit(arm("fused", lr=1e30, epochs=1, batch=100), fold(), UNIT)
    assert np.isfinite(found.row["early_losses"]).all()
    assert found.row["status"] == "diverged"
    assert "nll" not in found.row


def test_an_infinite_loss_ends_the_training_as_diverged():
    data = fold(levels=RAGGED)
    part = data.parts["train"]
    beyond = np.where(part.question == 2, 3, part.response)  # of a question with two levels
    wrong = Sequences(part.student, part.lengths, part.question, beyond)
    found = trained_unit(arm("fused"), Fold(data.parts | {"train": wrong}, data.levels), UNIT)
    assert found.row["early_losses"][0] == math.inf
    assert found.row["status"] == "diverged"
    assert "nll" not in found.row


def test_protocols_say_who_trains_and_who_chooses(tmp_path):
    data = fold()
    files = fold_file(data, tmp_path)
    clean, original = (read_fold(*files, protocol) for protocol in ("clean", "original"))
    for part in PARTS:
        for field in ("student", "lengths", "question", "response"):
            expected = getattr(data.parts[part], field)
            assert np.array_equal(getattr(clean.parts[part], field), expected)
    students = {part: original.parts[part].student.tolist() for part in PARTS}
    assert students["train"] == list(range(33))
    assert students["val"] == students["test"] == data.parts["test"].student.tolist()
    assert np.array_equal(original.levels, data.levels)


@pytest.mark.parametrize("protocol", ["clean", "original"])
def test_test_answers_choose_nothing_unless_the_protocol_is_the_original_s(tmp_path, protocol):
    found = []
    for change in (0, 1):
        data, folder = fold(), tmp_path / str(change)
        folder.mkdir()
        test = data.parts["test"]
        other = Sequences(test.student, test.lengths, test.question, (test.response + change) % 4)
        files = fold_file(Fold(data.parts | {"test": other}, data.levels), folder)
        read = read_fold(*files, protocol)
        found.append(fit(read, arm("source_protocol", protocol=protocol), KEY))
    assert same(*found) == (protocol == "clean")


def test_accuracy_rises_when_padding_is_scored():
    data = fold(train=60, test=60, longest=12)
    plain, counted = (
        trained_unit(arm(name, epochs=10, lr=0.01), data, UNIT).row
        for name in ("fused", "unmasked")
    )
    assert counted["accuracy"] > plain["accuracy"] + 0.15
    assert counted["nll"] < plain["nll"] - 0.2
    assert counted["n_test"] == plain["n_test"]


@pytest.mark.parametrize("evaluation", ["reference", "hoisted", "tables", "function", "fused"])
def test_autocast_trains_every_evaluation_in_fewer_digits(evaluation):
    data = fold(train=60, longest=12)
    exact, coarse = (fit(data, arm(evaluation, autocast=use), KEY) for use in (False, True))
    assert not coarse.diverged
    assert 1e-6 < np.abs(np.subtract(exact.losses, coarse.losses)).max() < 0.03
    assert {p.dtype for p in coarse.net.parameters()} == {SINGLE}


def test_eight_bits_change_the_predictions_and_not_the_training():
    exact, coarse = (trained_unit(arm(name), fold(), UNIT) for name in ("fused", "int8"))
    assert coarse.losses["loss"] == exact.losses["loss"]
    apart = np.abs(coarse.predictions["theta"] - exact.predictions["theta"])
    assert 0 < apart.max() < 0.05
