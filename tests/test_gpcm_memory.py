"""Every memory read is the recurrence, its gradient included, and knows no neighbours."""

import numpy as np
import pytest
import torch

from scripts.deep_gpcm.models.batches import packed, padded, places
from scripts.deep_gpcm.models.choices import memory_of
from scripts.deep_gpcm.models.memory import fused
from scripts.lib.torch_rng import torch_rng
from tests.gpcm_memories import TRITON, apart, graded, rows, slow
from tests.gpcm_networks import DOUBLE, SINGLE, gap

EXACT = ("loop", "function", "fused", TRITON)
WITH_GRADIENTS = ("function", "fused", TRITON)
WITH_CHUNKS = ("function", "fused")
BATCHES = [(11, 11, 11), (13, 1, 7), (13, 1, 7, 0), (0, 5, 0, 0, 3), (1, 1), (16, 17, 32, 33)]


@pytest.mark.parametrize("lengths", BATCHES)
@pytest.mark.parametrize("memory", EXACT)
def test_reads_are_those_of_the_recurrence(memory, lengths):
    inputs = rows(lengths)
    found = memory_of(memory)(*inputs, torch.tensor(lengths))
    assert np.abs(found.numpy() - slow(*inputs, lengths)).max() <= 1e-14


@pytest.mark.parametrize("memory", ["no_erase", "first_memory"])
def test_control_a_wrong_memory_has_other_reads(memory):
    inputs = rows((11, 11, 11))
    found = memory_of(memory)(*inputs, torch.tensor((11, 11, 11)))
    assert np.abs(found.numpy() - slow(*inputs, (11, 11, 11))).max() > 0.1


@pytest.mark.parametrize("lengths", BATCHES)
@pytest.mark.parametrize("memory", WITH_GRADIENTS)
def test_gradients_are_those_of_autograd_through_the_loop(memory, lengths):
    expected = graded("loop", rows(lengths), lengths)[1]
    for mine, other in zip(graded(memory, rows(lengths), lengths)[1], expected, strict=True):
        assert gap(mine, other) <= 1e-13


@pytest.mark.parametrize("chunk", [1, 3, 6, 7])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("memory", WITH_CHUNKS)
def test_gradients_are_those_of_finite_differences(memory, seed, chunk):
    lengths = np.random.default_rng(seed).integers(0, 7, 4)
    lengths[seed] = 6
    leaves = [x.requires_grad_() for x in rows(lengths, n=2, d=3, seed=seed)]
    assert torch.autograd.gradcheck(
        lambda *x: memory_of(memory)(*x, torch.tensor(lengths), chunk), leaves
    )


@pytest.mark.parametrize("memory", WITH_CHUNKS)
def test_how_many_memories_are_kept_changes_no_read_and_no_gradient(memory):
    lengths = (13, 1, 7)
    reads, gradients = graded(memory, rows(lengths), lengths)
    for chunk in (1, 3, 7, 13, 14, 100):
        others, slopes = graded(memory, rows(lengths), lengths, chunk=chunk)
        assert torch.equal(reads, others)
        assert max(map(gap, gradients, slopes)) <= 1e-14


@pytest.mark.parametrize("memory", EXACT)
def test_without_erasing_a_read_weighs_the_sum_of_what_was_added(memory):
    w, e, a, m0 = rows((9,))
    added = (w.unsqueeze(2) * a.unsqueeze(1)).cumsum(0)
    before = m0 + torch.cat([torch.zeros_like(added[:1]), added[:-1]])
    found = memory_of(memory)(w, 0 * e, a, m0, torch.tensor([9]))
    assert gap(found, torch.einsum("tn,tnd->td", w, before)) <= 1e-14


@pytest.mark.parametrize("memory", EXACT)
def test_without_adding_the_memory_decays_by_the_product_of_the_gates(memory):
    w, e, a, m0 = rows((9,))
    gates = (1 - w.unsqueeze(2) * e.unsqueeze(1)).cumprod(0)
    before = m0 * torch.cat([torch.ones_like(gates[:1]), gates[:-1]])
    found = memory_of(memory)(w, e, 0 * a, m0, torch.tensor([9]))
    assert gap(found, torch.einsum("tn,tnd->td", w, before)) <= 1e-14


@pytest.mark.parametrize("memory", EXACT)
def test_an_answer_writes_only_to_the_slots_it_attends_to(memory):
    _, e, a, m0 = rows((4,))
    w = torch.eye(3, dtype=DOUBLE)[[0, 1, 0, 2]]
    found = memory_of(memory)(w, e, a, m0, torch.tensor([4]))
    assert torch.equal(found[[0, 1, 3]], m0)
    assert gap(found[2], m0[0] * (1 - e[0]) + a[0]) <= 1e-15


@pytest.mark.parametrize("memory", EXACT)
def test_one_slot_is_a_running_average_by_hand(memory):
    w, (e, a, m0) = torch.ones(3, 1, dtype=DOUBLE), rows((3,), n=1)[1:]
    second = m0[0] * (1 - e[0]) + a[0]
    third = second * (1 - e[1]) + a[1]
    found = memory_of(memory)(w, e, a, m0, torch.tensor([3]))
    assert gap(found, torch.stack([m0[0], second, third])) <= 1e-15


@pytest.mark.parametrize("memory", WITH_GRADIENTS)
def test_gates_that_round_to_zero_do_no_harm_in_single_precision(memory):
    lengths = (60, 35)
    inputs = rows(lengths, n=5, d=8, scale=40, dtype=SINGLE)
    assert bool((1 - inputs[0].unsqueeze(2) * inputs[1].unsqueeze(1) == 0).any())
    exact = graded("loop", [x.double() for x in inputs], lengths)
    for name in ("loop", memory):
        reads, gradients = graded(name, inputs, lengths)
        assert apart(reads, exact[0]) <= 2e-7
        assert max(map(apart, gradients, exact[1])) <= 5e-7


def test_control_a_form_that_divides_by_the_gates_breaks_there():
    w, e, a, m0 = rows((60,), n=5, d=8, scale=40, dtype=SINGLE)
    decay = (1 - w.unsqueeze(2) * e.unsqueeze(1)).cumprod(0)
    before = decay * (m0 + (w.unsqueeze(2) * a.unsqueeze(1) / decay).cumsum(0))
    assert not bool(before.isfinite().all())


def test_a_sequence_s_reads_are_the_same_bits_in_any_batch_and_order():
    lengths = np.array([17, 1, 33, 5, 0, 16])
    w, e, a, m0 = rows(lengths, n=5, d=13, dtype=SINGLE)
    cuts = [x.split(lengths.tolist()) for x in (w, e, a)]
    together = fused.memory_read(w, e, a, m0, torch.tensor(lengths)).split(lengths.tolist())
    rng = np.random.default_rng(0)
    groups = [[i] for i in range(6)] + [rng.permutation(6)[: 2 + i % 5].tolist() for i in range(20)]
    for group in groups:
        some = [torch.cat([cut[i] for i in group]) for cut in cuts]
        found = fused.memory_read(*some, m0, torch.tensor(lengths[group]))
        assert torch.equal(found, torch.cat([together[i] for i in group]))


def test_reads_of_views_are_those_of_copies():
    lengths = torch.tensor([4, 3])
    w, e, a, m0 = rows((4, 3))
    views = [x.T.contiguous().T.requires_grad_() for x in (w, e, a, m0)]
    assert not any(x.is_contiguous() for x in views)
    copies = [x.contiguous().detach().requires_grad_() for x in (w, e, a, m0)]
    compiled = []
    for leaves in (copies, views):
        reads, ones = fused.memory_read(*leaves, lengths), torch.ones(7, 4, dtype=DOUBLE)
        reads.backward(ones if leaves is copies else ones[:1, :1].expand(7, 4))
        compiled.append([len(x.signatures) for x in (fused.read_forward, fused.read_backward)])
    assert compiled[0] == compiled[1]  # no second version for other strides
    assert all(torch.equal(x.grad, y.grad) for x, y in zip(views, copies, strict=True))


def test_memories_are_kept_for_gradients_only(monkeypatch):
    chunks, forward = [], fused.read_forward
    monkeypatch.setattr(
        fused, "read_forward", lambda *x: [chunks.append((x[5], len(x[7]))), forward(*x)]
    )
    w, e, a, m0 = rows((33, 2))
    m0.requires_grad_()
    reads = fused.memory_read(w, e, a, m0, torch.tensor([33, 2]))
    with torch.no_grad():
        assert torch.equal(fused.memory_read(w, e, a, m0, torch.tensor([33, 2])), reads)
    assert chunks == [(fused.CHUNK, 4), (0, 0)]


@pytest.mark.parametrize("memory", WITH_GRADIENTS)
def test_under_autocast_the_memory_is_in_single_precision(memory):
    *gates, m0 = rows((9, 4), dtype=SINGLE)
    coarse = [x.bfloat16() for x in gates]
    with torch.autocast("cpu", torch.bfloat16):
        found, gradients = graded(memory, [*coarse, m0], (9, 4))
    expected, slopes = graded(memory, [*(x.float() for x in coarse), m0], (9, 4))
    assert torch.equal(found, expected)
    assert [x.dtype for x in gradients] == [torch.bfloat16] * 3 + [SINGLE]
    assert torch.equal(gradients[3], slopes[3])


def test_padding_puts_zeros_behind_each_sequence_and_is_undone():
    lengths, numbers = torch.tensor([2, 0, 3]), torch.arange(1.0, 11).view(5, 2)
    wide = padded(numbers, lengths, places(lengths))
    assert wide[:, :, 0].tolist() == [[1, 3, 0], [0, 0, 0], [5, 7, 9]]
    assert torch.equal(packed(wide, places(lengths)), numbers)


@pytest.mark.parametrize("memory", ["loop", "function", TRITON])
def test_sequences_of_several_folds_start_from_memories_of_their_own(memory):
    lengths = (5, 1, 7)
    *gates, m0 = rows(lengths)
    starts = torch.randn(3, *m0.shape, generator=torch_rng(5), dtype=DOUBLE)
    reads, gradients = graded(memory, [*gates, starts], lengths)
    cuts = zip(*(x.split(lengths) for x in gates), starts, strict=True)
    alone = [slow(*cut, [length]) for cut, length in zip(cuts, lengths, strict=True)]
    assert gap(reads, torch.from_numpy(np.concatenate(alone))) <= 1e-14
    expected = graded("loop", [*gates, starts], lengths)[1]
    assert max(map(gap, gradients, expected)) <= 1e-13


@pytest.mark.parametrize("memory", ["loop", "function"])
def test_a_scan_computes_where_its_tensors_are(memory):
    """On a device that has shapes and no numbers, and refuses tensors of the CPU."""
    leaves = [x.to("meta").requires_grad_() for x in rows((5, 1, 7))]
    reads = memory_of(memory)(*leaves, torch.tensor((5, 1, 7)))
    gradients = torch.autograd.grad(reads.sum(), leaves)
    assert {x.device.type for x in (reads, *gradients)} == {"meta"}
    assert [x.shape for x in gradients] == [x.shape for x in leaves]
