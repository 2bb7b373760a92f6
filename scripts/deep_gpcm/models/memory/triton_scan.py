"""The memory read as Triton kernels for a GPU: a program for each sequence and block of columns.

Columns of the memory depend on the attention only, so a program walks its sequence once, with its
columns in registers; no padding is computed. The backward pass walks back through the adjoint
(docs/studies/deep_gpcm.md, Adjoint of the memory) and loads the memory before each answer, which
the forward pass stored: N D numbers an answer (40 kB at the default sizes in float32; 80 MB for a
batch of data set A, 640 MB for one of D). To compute states again from every 16th, as the compiled
loops do, would make the walk back twice as long, and its length is what takes the time.

In Triton's interpreter (TRITON_INTERPRET=1 before the first import) the kernels run on a CPU: slow,
for the proof alone.
"""

import torch
import triton
import triton.language as tl

# Cells of the memory that a program keeps. With the adjoint they fit the registers of four warps,
# 96 a thread in float32, 144 in float64: a multiprocessor has room for five programs.
CELLS = 1024
# Rows depend on nothing that is computed: those of the next answers are on their way meanwhile.
STAGES = tl.constexpr(3)


@triton.jit
def _read_forward(
    w, e, a, m0, lengths, starts, reads, kept, N, D, m0_stride,
    SLOTS: tl.constexpr, COLUMNS: tl.constexpr, KEEP: tl.constexpr,
):  # fmt: skip
    """Fill reads (S, D), and with the memory before every answer kept (S, N, D).

    The memories that sequences start from are `m0_stride` numbers apart: 0 if they share one.
    """
    sequence = tl.program_id(0).to(tl.int64)
    slot = tl.arange(0, SLOTS)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    slots, columns = slot < N, column < D
    cell, cells = slot[:, None] * D + column[None, :], slots[:, None] & columns[None, :]
    memory = tl.load(m0 + sequence * m0_stride + cell, mask=cells, other=0.0)
    start, length = tl.load(starts + sequence), tl.load(lengths + sequence)
    for t in tl.range(length, num_stages=STAGES):
        row = start + t
        weight = tl.load(w + row * N + slot, mask=slots, other=0.0)[:, None]
        erase = tl.load(e + row * D + column, mask=columns, other=0.0)[None, :]
        add = tl.load(a + row * D + column, mask=columns, other=0.0)[None, :]
        if KEEP:
            tl.store(kept + row * N * D + cell, memory, mask=cells)
        tl.store(reads + row * D + column, tl.sum(weight * memory, 0), mask=columns)
        memory += weight * (add - erase * memory)


@triton.jit
def _read_backward(
    w, e, a, lengths, starts, kept, grad, d_w, d_e, d_a, d_m0, N, D,
    SLOTS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Fill d_e and d_a (S, D), each sequence's d_m0 (B, N, D), each block's part of d_w (S, ., N).

    `grad` (S, D) is the gradient of the reads.
    """
    sequence, block = tl.program_id(0).to(tl.int64), tl.program_id(1)
    slot = tl.arange(0, SLOTS)
    column = block * COLUMNS + tl.arange(0, COLUMNS)
    slots, columns = slot < N, column < D
    cell, cells = slot[:, None] * D + column[None, :], slots[:, None] & columns[None, :]
    start, length = tl.load(starts + sequence), tl.load(lengths + sequence)
    adjoint = tl.zeros((SLOTS, COLUMNS), dtype=d_m0.dtype.element_ty)
    for back in tl.range(length, num_stages=STAGES):
        row = start + length - 1 - back
        weight = tl.load(w + row * N + slot, mask=slots, other=0.0)[:, None]
        erase = tl.load(e + row * D + column, mask=columns, other=0.0)[None, :]
        add = tl.load(a + row * D + column, mask=columns, other=0.0)[None, :]
        g = tl.load(grad + row * D + column, mask=columns, other=0.0)[None, :]
        memory = tl.load(kept + row * N * D + cell, mask=cells, other=0.0)
        change, weighted = g - erase * adjoint, weight * adjoint
        d_weight = tl.sum(memory * change + adjoint * add, 1)
        tl.store(d_w + (row * tl.num_programs(1) + block) * N + slot, d_weight, mask=slots)
        tl.store(d_e + row * D + column, -tl.sum(weighted * memory, 0), mask=columns)
        tl.store(d_a + row * D + column, tl.sum(weighted, 0), mask=columns)
        adjoint += weight * change
    tl.store(d_m0 + sequence * N * D + cell, adjoint, mask=cells)


def _blocks(n: int, d: int) -> tuple[int, dict[str, int]]:
    """Blocks of columns, and the sizes of a program, which have to be powers of two."""
    slots = triton.next_power_of_2(n)
    columns = min(triton.next_power_of_2(d), max(1, CELLS // slots))
    return triton.cdiv(d, columns), {"SLOTS": slots, "COLUMNS": columns}


class MemoryRead(torch.autograd.Function):
    """Rows in, rows out; see `memory_read`."""

    @staticmethod
    @torch.amp.custom_fwd(device_type="cuda", cast_inputs=torch.float32)
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.float32)
    def forward(ctx, w, e, a, m0, lengths, keep):
        w, e, a, m0 = rows = [x.detach().contiguous() for x in (w, e, a, m0)]
        n, d = m0.shape[-2:]
        blocks, sizes = _blocks(n, d)
        starts, reads = lengths.cumsum(0) - lengths, torch.empty_like(a)
        kept = a.new_empty(len(a) if keep else 0, n, d)
        stride = n * d if m0.dim() == 3 else 0
        _read_forward[len(lengths), blocks](
            *rows, lengths, starts, reads, kept, n, d, stride, KEEP=keep, **sizes
        )
        ctx.save_for_backward(w, e, a, lengths, starts, kept)
        ctx.start = m0.shape
        return reads

    @staticmethod
    def backward(ctx, grad):
        w, e, a, lengths = ctx.saved_tensors[:4]
        n, d = ctx.start[-2:]
        blocks, sizes = _blocks(n, d)
        d_w, d_m0 = w.new_empty(len(w), blocks, n), w.new_empty(len(lengths), n, d)
        d_e, d_a = torch.empty_like(e), torch.empty_like(a)
        _read_backward[len(lengths), blocks](
            *ctx.saved_tensors, grad.contiguous(), d_w, d_e, d_a, d_m0, n, d, **sizes
        )
        return d_w.sum(1), d_e, d_a, d_m0.sum_to_size(ctx.start), None, None


def memory_read(
    w: torch.Tensor, e: torch.Tensor, a: torch.Tensor, m0: torch.Tensor, lengths: torch.Tensor
) -> torch.Tensor:
    """As `autograd.memory_read`, in float32 or float64; under autocast in float32.

    Random: nothing; sums have one order, so a read has the same bits in any batch.
    """
    # Parameters need gradients even where none are taken: there no memory is kept.
    return MemoryRead.apply(w, e, a, m0, lengths.to(w.device), torch.is_grad_enabled())
