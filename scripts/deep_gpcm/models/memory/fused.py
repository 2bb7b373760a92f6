"""The memory read by the compiled kernel: no padding is computed, no state is kept for autograd."""

import torch

from scripts.deep_gpcm.models.memory.recurrence import read_backward, read_forward

# A chunk of memories (16 x 40 kB at the default sizes) fits the second-level cache.
CHUNK = 16


class MemoryRead(torch.autograd.Function):
    """Rows in, rows out; see `memory_read`."""

    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.float32)
    def forward(ctx, w, e, a, m0, lengths, chunk):
        rows = [x.detach().contiguous() for x in (w, e, a, m0)]
        reads = torch.empty_like(rows[2])
        slots = int(((lengths + chunk - 1) // chunk).sum()) if chunk else 0
        kept = rows[3].new_empty(slots, *m0.shape)
        arrays = [x.numpy() for x in (*rows, lengths)]
        read_forward(*arrays, chunk, reads.numpy(), kept.numpy())
        ctx.save_for_backward(*rows, lengths, kept)
        ctx.chunk = chunk
        return reads

    @staticmethod
    def backward(ctx, grad):
        *rows, lengths, kept = ctx.saved_tensors
        gradients = [torch.empty_like(x) for x in rows]
        w, e, a, _, lengths, kept, grad = (
            x.numpy() for x in (*rows, lengths, kept, grad.contiguous())
        )
        arrays = [x.numpy() for x in gradients]
        read_backward(w, e, a, lengths, ctx.chunk, kept, grad, *arrays)
        return *gradients, None, None


def memory_read(
    w: torch.Tensor,
    e: torch.Tensor,
    a: torch.Tensor,
    m0: torch.Tensor,
    lengths: torch.Tensor,
    chunk: int = CHUNK,
) -> torch.Tensor:
    """As `autograd.memory_read`, one sequence after the other in one thread.

    A sequence's reads are the same bits in any batch. Gradients keep one memory in `chunk` steps.
    """
    # Parameters need gradients even where none are taken: there nothing is kept.
    return MemoryRead.apply(w, e, a, m0, lengths, chunk if torch.is_grad_enabled() else 0)
