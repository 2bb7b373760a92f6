"""On a GPU every arm that computes there is what it is on the CPU: `pytest -m gpu`.

Where no GPU is, GPU_TEST_DEVICE=cpu tries the tests themselves.
"""

import os
from dataclasses import replace

import numpy as np
import pytest
import torch

from scripts.deep_gpcm.models.fit import fit
from scripts.deep_gpcm.models.stack import fit_stack as fit_folds
from scripts.engression.models import stacked_fit
from scripts.lib.counter_rng import CounterRng
from scripts.lib.packages import installed
from scripts.lora_ablation.models.stack import fit_stack as fit_classifiers
from scripts.lora_ablation.representations import on_device
from scripts.lora_ablation.representations.catalogue import FAMILIES, deviation
from scripts.tep_bp.models.reference.trial import fit_trial
from scripts.tep_bp.models.stacked import stacked
from tests.engression_fits import unit_of
from tests.gpcm_networks import arm, fold
from tests.lora_cells import cell, keys, options
from tests.lora_files import generated
from tests.tep_nets import PLAIN, TRAIN, digits, trial

DEVICE = os.environ.get("GPU_TEST_DEVICE", "cuda")
ABSENT = DEVICE == "cuda" and not torch.cuda.is_available()
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(ABSENT, reason="no GPU here")]


def units(device: str, precision: str = "double"):
    told = {"max_epochs": 4, "precision": precision}
    made = [unit_of(law, 40, rep, **told) for law in ("normal", "uniform") for rep in range(3)]
    return [replace(unit, device=device) for unit in made]


def test_random_words_are_the_same_bits_there():
    there, here = (CounterRng([1, 2**63], device) for device in (DEVICE, "cpu"))
    assert torch.equal(there.bits(3, 1, 1001).cpu(), here.bits(3, 1, 1001))
    assert torch.equal(there.permutations(3, 2, 99).cpu(), here.permutations(3, 2, 99))
    apart = there.normals(3, 1, 1001).cpu() - here.normals(3, 1, 1001)
    assert apart.abs().max() < 1e-5


def test_generators_are_trained_there_as_here():
    there, here = (stacked_fit.fit_stack(units(device)) for device in (DEVICE, "cpu"))
    for found, one in zip(there, here, strict=True):
        np.testing.assert_allclose(found.history, one.history, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(found.parameters, one.parameters, rtol=1e-4, atol=1e-5)


def test_a_graph_of_a_step_is_the_step(monkeypatch):
    graphs = stacked_fit.fit_stack(units(DEVICE)), stacked.fit_stack(*TRIALS, device=DEVICE)
    for module in (stacked_fit, stacked):
        monkeypatch.setattr(module, "graphed", lambda step, state: step)
    eager = stacked_fit.fit_stack(units(DEVICE)), stacked.fit_stack(*TRIALS, device=DEVICE)
    for found, one in zip(graphs[0], eager[0], strict=True):
        torch.testing.assert_close(found.parameters, one.parameters, rtol=1e-9, atol=1e-9)
    for found, one in zip(graphs[1], eager[1], strict=True):
        np.testing.assert_allclose(found.losses, one.losses, rtol=1e-9)


TRIALS = (
    digits(),
    [trial(activation=name, trial=i) for i, name in enumerate(["tanh", "relu", "tanh"])],
    TRAIN,
    PLAIN,
)


@pytest.mark.parametrize("rule", ["tep", "rbp", "bp"])
def test_trials_are_trained_there_as_here(rule):
    data, trials, *told = TRIALS
    trials = [one._replace(rule=rule) for one in trials]
    there, here = (stacked.fit_stack(data, trials, *told, device) for device in (DEVICE, "cpu"))
    alone = [fit_trial(data, one, *told, DEVICE) for one in trials]
    for found, other, one in zip(there, alone, here, strict=True):
        np.testing.assert_allclose(found.losses, one.losses, rtol=1e-7)
        np.testing.assert_allclose(other.losses, one.losses, rtol=1e-7)
        assert found.curve == other.curve == one.curve


@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_classifiers_are_trained_there_as_here(dropout):
    told = cell(), keys(3), options(dropout=dropout, max_epochs=4), torch.float64
    there, here = (fit_classifiers(*told, device=device) for device in (DEVICE, "cpu"))
    for found, one in zip(there, here, strict=True):
        np.testing.assert_allclose(found.history, one.history, rtol=1e-8)
        assert (found.predicted == one.predicted).all()


@pytest.mark.parametrize("rank", [1, 4, 16, 64])
def test_features_are_those_of_the_cpu_within_the_tolerance(rank):
    shard = generated(3, rank)
    there, here = (
        on_device.numbers(shard.matrix, shard.layout, list(FAMILIES), device)
        for device in (DEVICE, "cpu")
    )
    for family, names in FAMILIES.items():
        told = [[family, name] for name in names]
        assert deviation(there[family], here[family], told, rank) <= 1, family


@pytest.mark.parametrize("name", ["reference", "hoisted", "function", "triton"])
def test_a_fold_of_deep_gpcm_is_trained_there_as_here(name):
    if name == "triton" and (not installed("triton") or DEVICE == "cpu"):
        pytest.skip("kernels for a GPU")
    here = fit(fold(), arm("reference", precision="double"), (1, "x"))
    job = arm(name, precision="double").model_copy(update={"device": DEVICE})
    there = fit(fold(), job, (1, "x"))
    np.testing.assert_allclose(there.losses, here.losses, rtol=1e-6)


@pytest.mark.parametrize("memory", ["function", "triton"])
def test_folds_are_trained_side_by_side_there_as_alone_here(memory):
    if memory == "triton" and (not installed("triton") or DEVICE == "cpu"):
        pytest.skip("kernels for a GPU")
    made, keys = [fold(train=size, seed=size) for size in (24, 31)], [(1, "x"), (1, "y")]
    told = {"memory": memory, "device": DEVICE}
    there = fit_folds(made, arm("stacked", precision="double").model_copy(update=told), keys)
    for found, data, key in zip(there, made, keys, strict=True):
        here = fit(data, arm("reference", precision="double"), key)
        np.testing.assert_allclose(found.losses, here.losses, rtol=1e-6)


@pytest.mark.skipif(DEVICE == "cpu", reason="nothing there can be out of memory")
def test_what_a_gpu_has_no_memory_for_is_computed_in_halves(monkeypatch):
    many = [unit_of("normal", 100, rep, max_epochs=1) for rep in range(64)]
    many = [replace(unit, device=DEVICE) for unit in many]
    torch.cuda.reset_peak_memory_stats()
    whole, sizes, real = stacked_fit.fit_stack(many), [], stacked_fit.trained
    peak = torch.cuda.max_memory_reserved() / torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()

    def counted(units):
        sizes.append(len(units))
        return real(units)

    monkeypatch.setattr(stacked_fit, "trained", counted)
    torch.cuda.set_per_process_memory_fraction(0.6 * peak)
    try:
        halves = stacked_fit.fit_stack(many)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        torch.cuda.empty_cache()
    assert sizes[0] == 64
    assert len(sizes) > 2
    for found, one in zip(halves, whole, strict=True):
        torch.testing.assert_close(found.parameters, one.parameters, rtol=1e-3, atol=1e-4)
