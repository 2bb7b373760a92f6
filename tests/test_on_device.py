"""Arms that compute on a GPU too, followed on tensors without numbers (PyTorch's device "meta").

This machine may have no GPU. A tensor that was left on the CPU fails here as it would there: an
operation refuses tensors of two devices. What the arms compute is tested with numbers, on the CPU.
"""

from contextlib import nullcontext

import numpy as np
import pandas as pd
import pytest
import torch

from scripts.deep_gpcm.models.batches import Resident
from scripts.deep_gpcm.models.choices import evaluation, memory_of
from scripts.deep_gpcm.models.loss import row_losses, scored
from scripts.deep_gpcm.models.stack import Stack, Together
from scripts.engression.models import stacked_fit
from scripts.lib.faults import ContractError
from scripts.lib.gpu_stacks import fitting
from scripts.lib.timing import Phases
from scripts.lora_ablation.data.layout import Layout
from scripts.lora_ablation.models.network import Shape, logits
from scripts.lora_ablation.models.stack import Backprop
from scripts.lora_ablation.representations import on_device, union
from scripts.lora_ablation.representations.catalogue import FAMILIES, REPRESENTATIONS, deviation
from scripts.tep_bp.models.reference.learning_rules import RULES
from scripts.tep_bp.models.reference.trial import network as trial_network
from scripts.tep_bp.models.stacked import stacked
from tests.engression_fits import unit_of
from tests.gpcm_networks import arm, fold, network
from tests.gpu import floors
from tests.tep_nets import PLAIN, TRAIN, digits, trial

META = torch.device("meta")


@pytest.mark.parametrize("rule", ["tep", "rbp", "bp"])
def test_a_stack_of_trials_leaves_no_tensor_on_the_cpu(rule, monkeypatch):
    states = []
    monkeypatch.setattr(stacked, "graphed", lambda step, state: [states.append(state), step][1])
    data = digits().on(META)
    trials = [trial(rule, activation=name, trial=i) for i, name in enumerate(["tanh", "relu"])]
    parameters, activation = next(stacked.training(data, trials, TRAIN, PLAIN, Phases()))
    assert {tensor.device for tensor in states[0]} == {META}
    classes, losses = stacked.predict(parameters, data, activation, PLAIN)
    assert classes.device == losses.device == META


@pytest.mark.parametrize("rule", ["tep", "rbp", "bp"])
def test_the_reference_of_tep_leaves_no_tensor_on_the_cpu(rule, monkeypatch):
    monkeypatch.setattr(torch, "autocast", lambda *told, **more: nullcontext())
    data, one = digits().on(META), trial(rule)
    net = trial_network(one, data, PLAIN).to(META)
    RULES[rule](net, data.x[:8], data.y[:8], one, TRAIN, Phases())
    assert {p.grad.device for p in net.parameters()} == {META}
    if rule != "bp":
        net.contract(TRAIN.spectral_cap, TRAIN.power_steps)


def test_a_stack_of_classifiers_leaves_no_tensor_on_the_cpu():
    shape, runs = Shape(12, 16, 3), 2
    parameters, gradient = torch.zeros(2, runs, shape.stride, device=META)
    buffers = shape.buffers(runs, torch.float32, META)
    masks = [torch.Generator().manual_seed(i) for i in range(runs)]
    estimate = Backprop(shape, parameters, gradient, buffers, 0.5, masks, 8)
    labels = torch.zeros(runs, 8, dtype=torch.int64, device=META)
    assert estimate(torch.zeros(runs, 8, 12, device=META), labels).device == META
    assert logits(torch.zeros(5, 12, device=META), shape.views(parameters), buffers).device == META


@pytest.mark.parametrize(
    ("model", "memory"),
    [("stepwise", "loop"), ("hoisted", "loop"), ("tables", "loop"), ("tables", "function")],
)
@pytest.mark.parametrize("padding", ["none", "masked"])
def test_a_step_of_deep_gpcm_leaves_no_tensor_on_the_cpu(model, memory, padding):
    train, net = arm("reference", padding=padding).train, network().to(META)
    batch = Resident(fold().parts["train"]).batch(torch.arange(4))
    log_p, response, heads = scored(net, evaluation(model, memory), batch, train)
    assert {x.device for x in (log_p, response, *heads)} == {META}
    row_losses(log_p, response, "ce").sum().backward()
    assert {p.grad.device for p in net.parameters() if p.grad is not None} == {META}


def test_a_step_of_stacked_folds_leaves_no_tensor_on_the_cpu():
    data = Resident(fold().parts["train"])
    stack = Stack([network().to(META) for _ in range(3)], arm("stacked").train)
    batches = [data.batch(torch.arange(4)), None, data.batch(torch.arange(7))]
    these = Together.of(batches, META)
    losses = stack.descend(these, memory_of("function"), Phases())
    state = (stack.parameters.grad, stack.moments, stack.counts)
    assert {tensor.device for tensor in (losses, *state)} == {META}


@pytest.mark.parametrize("family", ["moments", "quantiles", "norms", "frequency"])
@pytest.mark.parametrize("shape", [(5, 1, 12), (5, 12, 4)])
def test_a_family_leaves_no_tensor_on_the_cpu(family, shape):
    assert on_device.COMPUTE[family](torch.zeros(shape, device=META)).device == META


# What a graph repeats is a step from the state that it is told: what a step reads beside it would
# be of the warm-up, and what it changes beside it would be lost.


def repeated(seen: list):
    """In place of a graph on a CPU: takes a step, puts the state back, and takes it again."""

    def graphed(step, state):
        def take(*inputs):
            before = [tensor.clone() for tensor in state]
            step(*inputs)
            after = [tensor.clone() for tensor in state]
            for tensor, value in zip(state, before, strict=True):
                tensor.copy_(value)
            values = step(*inputs)
            seen.append(all(map(torch.equal, after, state)))
            seen.append(not all(map(torch.equal, before, state)))
            return values

        return take

    return graphed


@pytest.mark.parametrize("rule", ["tep", "rbp", "bp"])
def test_the_state_of_a_stack_of_trials_is_all_that_a_step_goes_by(rule, monkeypatch):
    seen, usual = [], stacked.fit_stack(digits(), [trial(rule)], TRAIN, PLAIN)
    monkeypatch.setattr(stacked, "graphed", repeated(seen))
    found = stacked.fit_stack(digits(), [trial(rule)], TRAIN, PLAIN)
    assert seen
    assert all(seen)
    assert found[0].parameter_hash == usual[0].parameter_hash


def test_the_state_of_a_stack_of_generators_is_all_that_a_step_goes_by(monkeypatch):
    def fits():
        return stacked_fit.fit_stack([unit_of("normal", 24, rep, max_epochs=3) for rep in range(2)])

    seen, usual = [], fits()
    monkeypatch.setattr(stacked_fit, "graphed", repeated(seen))
    for found, one in zip(fits(), usual, strict=True):
        assert torch.equal(found.parameters, one.parameters)
    assert seen
    assert all(seen)


def test_what_the_memory_is_too_small_for_is_computed_in_halves_and_in_order():
    taken = []

    def compute(units):
        if len(units) > 3:
            raise torch.OutOfMemoryError
        taken.append(len(units))
        return [2 * unit for unit in units]

    assert fitting(compute, range(11)) == [2 * unit for unit in range(11)]
    assert taken == [2, 3, 3, 3]


def test_a_single_unit_that_is_too_large_is_a_sentence():
    def compute(units):
        raise torch.OutOfMemoryError

    with pytest.raises(ContractError, match=r"^The GPU has too little memory[^\n]*device: cpu\.$"):
        fitting(compute, range(4))


def layout_of(*shapes: tuple[int, int]) -> Layout:
    return Layout.of({f"unet.m{i}.lora.down.weight": shape for i, shape in enumerate(shapes)})


def matrix_of(layout: Layout, rows: int = 3) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.standard_normal((rows, layout.width)).astype(np.float32) * np.float32(0.02)


SHAPES = [(1, 40), (40, 1), (4, 33), (64, 70), (16, 16), (1, 1), (2, 3)]


@pytest.mark.parametrize("shape", SHAPES)
def test_every_number_is_that_of_its_family(shape):
    layout = layout_of(shape)
    matrix = matrix_of(layout)
    found = on_device.numbers(matrix, layout, list(FAMILIES), "cpu")
    truth = union.union(matrix, layout)
    for family, names in FAMILIES.items():
        told = [[family, name] for name in names]
        apart = deviation(found[family], truth[family], told, min(shape))
        assert apart <= 1, family


def test_a_matrix_of_lower_rank_than_its_sides_has_zeros_and_no_noise():
    rng, layout = np.random.default_rng(1), layout_of((4, 60))
    factors = rng.standard_normal((3, 4, 1)), rng.standard_normal((3, 1, 60))
    matrix = (factors[0] @ factors[1]).astype(np.float32).reshape(3, -1)
    matrix[2] = 0
    found = on_device.numbers(matrix, layout, ["spectral"], "cpu")["spectral"]
    truth = union.union(matrix, layout)["spectral"]
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[:, 0], truth[:, 0], rtol=1e-5, atol=1e-7)


def test_a_tensor_of_one_value_has_no_entropy_and_no_spread():
    layout = layout_of((3, 5))
    found = on_device.numbers(np.full((2, 15), 0.5, np.float32), layout, list(FAMILIES), "cpu")
    truth = union.union(np.full((2, 15), 0.5, np.float32), layout)
    for family in ("entropy", "moments", "quantiles"):
        np.testing.assert_allclose(found[family], truth[family], atol=1e-7)


def test_no_chunk_and_no_lack_of_memory_changes_a_number(monkeypatch):
    layout = layout_of(*SHAPES)
    matrix = matrix_of(layout, rows=7)
    whole = on_device.numbers(matrix, layout, list(FAMILIES), "cpu")
    monkeypatch.setitem(on_device.CHUNK_BYTES, "cpu", 4 * 3 * layout.width)
    real = on_device._of_rows

    def small(matrix, rows, *told):
        if len(rows) > 1:
            raise torch.OutOfMemoryError
        return real(matrix, rows, *told)

    for way in (real, small):
        monkeypatch.setattr(on_device, "_of_rows", way)
        found = on_device.numbers(matrix, layout, list(FAMILIES), "cpu")
        for family, numbers in whole.items():
            np.testing.assert_allclose(found[family], numbers, rtol=1e-5, atol=1e-9)


def test_a_wrong_number_is_told_apart():
    """The tolerance of these tests finds one value left out of forty."""
    layout = layout_of((1, 40))
    matrix = matrix_of(layout)
    found = on_device.numbers(np.sort(matrix, 1)[:, 1:], layout_of((1, 39)), ["quantiles"], "cpu")
    truth = union.union(matrix, layout)
    told = [column for column in REPRESENTATIONS["rank_based"]]
    assert deviation(found["quantiles"][..., 3:], truth["quantiles"][..., 3:], told, 1) > 1


def test_the_script_for_a_gpu_runs_on_a_cpu_and_tells_floors(tmp_path):
    floors.main("cpu", tmp_path)
    found = pd.read_csv(tmp_path / "gpu.csv")
    assert len(found) >= 12
    assert (found[["cold_s", "wall_s", "floor_s", "flops_s", "bytes_s"]] > 0).all(axis=None)
    np.testing.assert_allclose(found["of_floor"], found["wall_s"] / found["floor_s"], rtol=1e-4)
    assert "commit `" in (tmp_path / "README.md").read_text()
