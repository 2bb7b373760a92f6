"""The closed-form gradient is autograd's, and the flat network is the nn.Module of the original."""

import math

import pytest
import torch
from scipy import stats
from torch import nn

from scripts.lib.onednn import linear
from scripts.lib.torch_rng import torch_rng
from scripts.lora_ablation.models import reference
from scripts.lora_ablation.models.network import HIDDEN_LAYERS, Shape, initial, linears, logits
from scripts.lora_ablation.models.stack import Backprop
from tests.lora_cells import flat, module, options

SHAPE = Shape(inputs=7, hidden=6, classes=4)
BATCH = 32
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-6}


def batches_of(runs: int, sizes: tuple[int, ...], dtype: torch.dtype) -> list[tuple]:
    """Inputs (R, B, D) and labels (R, B) of a few batches."""
    rng = torch_rng(42, "batches")
    return [
        (
            torch.randn(runs, size, SHAPE.inputs, generator=rng).to(dtype),
            torch.randint(SHAPE.classes, (runs, size), generator=rng),
        )
        for size in sizes
    ]


def closed(runs: int, sizes: tuple[int, ...], dropout: float, dtype: torch.dtype):
    """Per batch (loss, gradient) in closed form, and the running statistics after the last one."""
    stacked = torch.stack([flat(SHAPE, run, dtype) for run in range(runs)])
    stacked = nn.functional.pad(stacked, (0, SHAPE.stride - SHAPE.size))
    gradient, buffers = torch.empty_like(stacked), SHAPE.buffers(runs, dtype)
    masks = [torch_rng(run, "dropout") for run in range(runs)]
    estimate = Backprop(SHAPE, stacked, gradient, buffers, dropout, masks, BATCH)
    found = [
        (estimate(x, labels), gradient[:, : SHAPE.size].clone())
        for x, labels in batches_of(runs, sizes, dtype)
    ]
    return found, buffers


def by_autograd(runs: int, sizes: tuple[int, ...], dropout: float, dtype: torch.dtype):
    """The same by one nn.Module for each run."""
    nets = [
        module(SHAPE, flat(SHAPE, run, dtype), options(dropout=dropout), run) for run in range(runs)
    ]
    found = []
    for x, labels in batches_of(runs, sizes, dtype):
        losses, gradients = [], []
        for net, rows, classes in zip(nets, x, labels, strict=True):
            net.train().zero_grad()
            loss = nn.CrossEntropyLoss()(net(rows), classes)
            loss.backward()
            losses.append(loss.detach())
            gradients.append(torch.cat([p.grad.flatten() for p in net.parameters()]))
        found.append((torch.stack(losses), torch.stack(gradients)))
    norms = [[m for m in net if isinstance(m, nn.BatchNorm1d)] for net in nets]
    statistics = [[torch.stack([m.running_mean, m.running_var]) for m in row] for row in norms]
    return found, torch.stack([torch.stack(row) for row in statistics])


def difference(runs: int, sizes: tuple[int, ...], dropout: float, dtype: torch.dtype) -> float:
    """Largest difference of losses and gradients, in units of the largest of them if above 1."""
    pairs = zip(
        closed(runs, sizes, dropout, dtype)[0],
        by_autograd(runs, sizes, dropout, dtype)[0],
        strict=True,
    )
    return max(
        float((ours - theirs).abs().max() / theirs.abs().max().clamp(min=1))
        for mine, other in pairs
        for ours, theirs in zip(mine, other, strict=True)
    )


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("dropout", [0.0, 0.5])
@pytest.mark.parametrize("sizes", [(BATCH,), (BATCH, BATCH, 17)])
@pytest.mark.parametrize("runs", [1, 3])
def test_loss_and_gradient_are_those_of_autograd(runs, sizes, dropout, dtype):
    assert difference(runs, sizes, dropout, dtype) <= TOLERANCE[dtype]


def test_a_batch_of_two_rows_is_no_exception():
    """In float32 the batch norm of two close rows has few digits left, by either way."""
    assert difference(3, (BATCH, 2), 0.5, torch.float64) <= 1e-12


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("runs", [1, 3])
def test_running_statistics_are_those_of_batch_norm(runs, dtype):
    _, found = closed(runs, (BATCH, BATCH, 17), 0.5, dtype)
    _, expected = by_autograd(runs, (BATCH, BATCH, 17), 0.5, dtype)
    assert found.shape == (runs, HIDDEN_LAYERS, 2, SHAPE.hidden)
    assert not torch.equal(found, SHAPE.buffers(runs, dtype))
    assert float((found - expected).abs().max()) <= TOLERANCE[dtype]


class Unscaled(reference.StreamDropout):
    """Dropout that forgets to divide by the share of what it keeps."""

    def forward(self, x):
        return x * (torch.rand(x.shape, generator=self.rng) > self.p)


class Inverted(reference.StreamDropout):
    """Dropout that drops what it should keep."""

    def forward(self, x):
        return x * (torch.rand(x.shape, generator=self.rng) <= self.p) / (1 - self.p)


class LastLayerFirst(reference.StreamDropout):
    """Dropout whose masks are drawn for the last hidden layer first."""

    masks: list[torch.Tensor]

    def forward(self, x):
        if not LastLayerFirst.masks:
            shape = (HIDDEN_LAYERS, *x.shape)
            LastLayerFirst.masks = [*(torch.rand(shape, generator=self.rng) > self.p)]
        return x * LastLayerFirst.masks.pop() / (1 - self.p)


@pytest.mark.parametrize("wrong", [Unscaled, Inverted, LastLayerFirst])
def test_control_another_dropout_has_another_gradient(monkeypatch, wrong):
    LastLayerFirst.masks = []
    assert difference(1, (BATCH,), 0.5, torch.float64) <= 1e-12
    monkeypatch.setattr(reference, "StreamDropout", wrong)
    assert difference(1, (BATCH,), 0.5, torch.float64) > 1e-3


def test_the_gradient_of_a_bias_in_front_of_a_batch_norm_is_exactly_zero():
    found, _ = closed(2, (BATCH,), 0.5, torch.float32)
    views = SHAPE.views(found[0][1])
    for layer in range(HIDDEN_LAYERS):
        assert not views[4 * layer + 1].any()
        assert views[4 * layer].any()


def test_initial_weights_of_kept_inputs_do_not_depend_on_what_is_left_out():
    kept = torch.tensor([True, False, True, True, False, False, True])
    full = initial(SHAPE, torch.ones(7, dtype=torch.bool), torch_rng(1), torch.float32)
    small = Shape(4, SHAPE.hidden, SHAPE.classes)
    part = initial(small, kept, torch_rng(1), torch.float32)
    assert part.shape == (small.size,)
    every, some = SHAPE.views(full[None]), small.views(part[None])
    assert torch.equal(some[0], every[0][:, :, kept])
    for ours, theirs in zip(some[1:], every[1:], strict=True):
        assert torch.equal(ours, theirs)


def test_initial_weights_are_drawn_as_pytorch_draws_them():
    shape = Shape(inputs=30, hidden=40, classes=50)
    everything = torch.ones(30, dtype=torch.bool)
    views = shape.views(initial(shape, everything, torch_rng(2), torch.float32)[None])
    torch.manual_seed(0)
    for layer, inputs in enumerate([30, 40, 40, 40]):
        bound = 1 / math.sqrt(inputs)
        linear = nn.Linear(inputs, views[4 * layer].shape[1])
        pairs = zip(views[4 * layer : 4 * layer + 2], (linear.weight, linear.bias), strict=True)
        for ours, theirs in pairs:
            for drawn in (ours.flatten().numpy(), theirs.detach().flatten().numpy()):
                assert 0.85 * bound < abs(drawn).max() <= bound
                assert stats.kstest(drawn, stats.uniform(-bound, 2 * bound).cdf).pvalue > 0.01
    for layer in range(HIDDEN_LAYERS):
        assert (views[4 * layer + 2] == 1).all()
        assert (views[4 * layer + 3] == 0).all()


def test_runs_start_from_different_weights_and_the_same_run_from_the_same():
    everything = torch.ones(7, dtype=torch.bool)
    a, b, again = (
        initial(SHAPE, everything, torch_rng(42, run, "init"), torch.float32) for run in (0, 1, 0)
    )
    assert torch.equal(a, again)
    assert not torch.equal(a, b)


def test_logits_are_those_of_the_module_in_evaluation_mode():
    train, rows = options(dropout=0.5), torch.randn(11, 7, generator=torch_rng(3)).double()
    stacked = torch.stack([flat(SHAPE, run) for run in range(3)])
    buffers = SHAPE.buffers(3, torch.float64)
    buffers += torch.rand(buffers.shape, generator=torch_rng(4)).double()
    found = logits(rows, SHAPE.views(stacked), buffers)
    for run in range(3):
        net = module(SHAPE, stacked[run], train)
        norms = [m for m in net if isinstance(m, nn.BatchNorm1d)]
        for norm, (mean, var) in zip(norms, buffers[run], strict=True):
            norm.running_mean.copy_(mean)
            norm.running_var.copy_(var)
        assert float((found[run] - net.eval()(rows)).detach().abs().max()) <= 1e-12
        assert float((found[run] - net.train()(rows)).detach().abs().max()) > 1e-3


@pytest.mark.parametrize("shape", [(1, 1, 2), (7, 6, 4), (640, 512, 10), (16, 16, 16)])
def test_rows_of_a_stack_are_whole_lines_of_memory(shape):
    made = Shape(*shape)
    assert made.stride % 16 == 0
    assert 0 <= made.stride - made.size < 16
    views = made.views(torch.zeros(2, made.stride))
    assert sum(view[0].numel() for view in views) == made.size
    assert [tuple(view.shape[1:]) for view in views] == made.parameters


def test_the_network_has_as_many_parameters_as_the_source():
    # Ten classes.
    for inputs in (640, 4096, 8576, 99_648):
        assert Shape(inputs, 512, 10).size == 512 * inputs + 534_026


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("strides", ["rows", "columns"])
def test_products_are_pytorch_s_up_to_rounding_for_any_strides(dtype, strides):
    rng = torch_rng(3)
    x, weight = (torch.randn(n, 48, generator=rng, dtype=dtype) for n in (17, 32))
    bias = torch.randn(32, generator=rng, dtype=dtype)
    if strides == "columns":
        x, weight = x.t().contiguous().t(), weight.t().contiguous().t()
    for b in (None, bias):
        found, expected = linear(x, weight, b), torch.nn.functional.linear(x, weight, b)
        assert found.shape == (17, 32)
        assert float((found - expected).abs().max()) <= 50 * torch.finfo(dtype).eps
        assert found.data_ptr() not in (x.data_ptr(), weight.data_ptr())


def test_without_onednn_products_are_pytorch_s(monkeypatch):
    x, weight = torch.randn(5, 7), torch.randn(3, 7)
    monkeypatch.setattr("scripts.lib.onednn._POINTWISE", None)
    assert torch.equal(linear(x, weight), torch.nn.functional.linear(x, weight))


def test_networks_are_multiplied_one_by_one():
    x, weight, bias = torch.randn(3, 5, 7), torch.randn(3, 4, 7), torch.randn(3, 4)
    found = linears(x, weight, bias)
    for run in range(3):
        assert torch.equal(found[run], linear(x[run], weight[run], bias[run]))
        assert torch.equal(linears(x[run : run + 1], weight[run : run + 1])[0], linear(
            x[run], weight[run]
        ))  # fmt: skip
