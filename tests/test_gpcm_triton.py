"""The kernels for a GPU, which Triton interprets here, are the float64 loop up to rounding."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from scripts.deep_gpcm.models.choices import memory_of
from tests.gpcm_memories import apart, graded, rows
from tests.gpcm_networks import ROOT, SINGLE

pytest.importorskip("triton", reason="no Triton here: make gpu")
if os.environ["TRITON_INTERPRET"] != "1":
    pytest.skip("Triton compiles kernels here, for a device", allow_module_level=True)

from scripts.deep_gpcm.models.memory import triton_scan

# Lengths of the logs; slots, columns; scale of the logits: at 40 gates are 0 and 1 and an answer
# attends to one slot.
LOGS = {
    "ragged": ((13, 1, 7, 0), 3, 4, 1.0),
    "one sequence": ((21,), 3, 4, 1.0),
    "one answer each": ((1, 1, 1), 3, 4, 1.0),
    "no power of two": ((6, 3), 7, 37, 1.0),
    "one slot, one column": ((5, 2), 1, 1, 1.0),
    "saturated": ((30, 17), 5, 8, 40.0),
}


def worst(memory: str, logs: str) -> tuple[float, float]:
    """Distance of reads, and largest of gradients, from the loop in float64; see `apart`."""
    lengths, n, d, scale = LOGS[logs]
    inputs = rows(lengths, n, d, scale, SINGLE)
    reads, gradients = graded("loop", [x.double() for x in inputs], lengths)
    found, slopes = graded(memory, inputs, lengths)
    compared = [(x, y) for x, y in zip(slopes, gradients, strict=True) if bool(y.any())]
    return apart(found, reads), max(apart(x, y) for x, y in compared)


@pytest.mark.parametrize("logs", LOGS)
def test_in_single_precision_reads_and_gradients_are_those_of_the_loop_in_double(logs):
    of_reads, of_gradients = worst("triton", logs)
    assert of_reads <= 3e-7
    assert of_gradients <= 1e-6


@pytest.mark.parametrize("logs", ["ragged", "no power of two", "saturated"])
@pytest.mark.parametrize("memory", ["no_erase", "first_memory"])
def test_control_a_wrong_memory_fails_the_same_comparison(memory, logs):
    of_reads, of_gradients = worst(memory, logs)
    assert of_reads > 1e-2
    assert of_gradients > 1e-2


def test_saturated_gates_are_exactly_0_and_1():
    lengths, n, d, scale = LOGS["saturated"]
    w, e, _, _ = rows(lengths, n, d, scale, SINGLE)
    assert {0.0, 1.0} <= set(e.flatten().tolist())
    assert bool((1 - w.unsqueeze(2) * e.unsqueeze(1) == 0).any())


@pytest.mark.parametrize("columns", [1, 2, 8])
def test_how_many_columns_a_program_has_changes_no_read_and_no_gradient(monkeypatch, columns):
    inputs = rows((4, 9), 5, 13, dtype=SINGLE)
    assert triton_scan._blocks(5, 13)[0] == 1
    reads, gradients = graded("triton", inputs, (4, 9))
    monkeypatch.setattr(triton_scan, "CELLS", 8 * columns)
    assert triton_scan._blocks(5, 13) == (-(-13 // columns), {"SLOTS": 8, "COLUMNS": columns})
    others, slopes = graded("triton", inputs, (4, 9))
    assert apart(others, reads) <= 3e-7
    assert max(map(apart, slopes, gradients)) <= 1e-6


def test_a_program_has_a_thousand_cells_or_at_least_one_column():
    assert triton_scan._blocks(50, 200) == (13, {"SLOTS": 64, "COLUMNS": 16})
    assert triton_scan._blocks(10_000, 3) == (3, {"SLOTS": 16_384, "COLUMNS": 1})


# Both passes at the shipped sizes, for a GPU of compute capability 9.0, without one.
COMPILED = """
from triton import compile
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from scripts.deep_gpcm.models.memory import triton_scan

numbers = {"N": "i32", "D": "i32", "m0_stride": "i32", "lengths": "*i64", "starts": "*i64"}
sizes = triton_scan._blocks(50, 200)[1]
for kernel, fixed in (
    (triton_scan._read_forward, sizes | {"KEEP": True}),
    (triton_scan._read_backward, sizes),
):
    for kind in ("fp32", "fp64"):
        types = {x: numbers.get(x, f"*{kind}") for x in kernel.arg_names}
        source = ASTSource(kernel, types | dict.fromkeys(fixed, "constexpr"), fixed)
        assert compile(source, GPUTarget("cuda", 90, 32)).asm["cubin"]
"""


def test_both_passes_compile_for_a_gpu(tmp_path):
    told = {"TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", COMPILED], cwd=ROOT, env=os.environ | told, check=True)


def test_a_run_that_switches_the_arm_on_has_the_reference_s_losses(fresh_gpcm):
    arms = "{triton: {train: {epochs: 2}, run: {folds: 2}}}"
    fresh_gpcm.science(config=fresh_gpcm.overlay(arms=arms, only="[triton]"))
    rows = {(row["arm"], row["fold"]): row for row in fresh_gpcm.rows() if row["data"] == "small"}
    for fold in range(2):
        mine, other = (np.array(rows[arm, fold]["early_losses"]) for arm in ("triton", "reference"))
        assert len(mine) > 3
        assert np.abs(mine - other).max() <= 1e-6


def test_a_sequence_s_reads_and_gradients_are_the_same_bits_in_any_batch():
    lengths = (5, 1, 8)
    w, e, a, m0 = rows(lengths, 5, 13, dtype=SINGLE)
    cuts = [x.split(lengths) for x in (w, e, a)]

    def of(numbers: list[int]) -> list[list[torch.Tensor]]:
        leaves = [torch.cat([cut[i] for i in numbers]).requires_grad_() for cut in cuts]
        parts = [lengths[i] for i in numbers]
        reads = memory_of("triton")(*leaves, m0, torch.tensor(parts))
        found = [reads, *torch.autograd.grad(reads.square().sum(), leaves)]
        return [list(pieces) for pieces in zip(*(x.split(parts) for x in found), strict=True)]

    together = of([0, 1, 2])
    for numbers in ([2], [1, 0], [2, 0, 1]):
        for i, alone in zip(numbers, of(numbers), strict=True):
            assert all(map(torch.equal, alone, together[i]))


def test_views_are_read_as_copies_and_without_gradients_no_memory_is_stored(monkeypatch):
    inputs, lengths = rows((4, 3), dtype=SINGLE), torch.tensor([4, 3])
    kept, forward = [], triton_scan._read_forward

    class Watched:
        def __getitem__(self, grid):
            def launch(*arguments, **sizes):
                kept.append(tuple(arguments[7].shape))
                forward[grid](*arguments, **sizes)

            return launch

    monkeypatch.setattr(triton_scan, "_read_forward", Watched())
    views = [x.T.contiguous().T for x in inputs]
    assert not any(x.is_contiguous() for x in views)
    reads = memory_of("triton")(*inputs, lengths)
    with torch.no_grad():
        assert torch.equal(memory_of("triton")(*views, lengths), reads)
    assert kept == [(7, 3, 4), (0, 3, 4)]
    assert bool(reads.isfinite().all())
