"""The memory read with a backward pass of its own, in torch operations on any device.

All sequences of the padded batch go together (docs/studies/deep_gpcm.md, Adjoint of the memory). It
computes where its tensors are; `lengths` may stay on the CPU.
"""

import math

import torch

from scripts.deep_gpcm.models.batches import packed, padded, places


def write(memory: torch.Tensor, w: torch.Tensor, e: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
    """The memory (B, N, D) after the write of one step: w (B, N), e (B, D), a (B, D)."""
    change = a.unsqueeze(1) - e.unsqueeze(1) * memory
    return torch.addcmul(memory, w.unsqueeze(2), change)


class MemoryRead(torch.autograd.Function):
    """Reads (B, T, D) of padded w (B, T, N), e and a (B, T, D), m0 (N, D) or (B, N, D).

    The adjoint is the same recurrence backwards in time, so no state has to be kept for autograd:
    only one in `chunk` is, from which the others are computed again.
    """

    @staticmethod
    @torch.amp.custom_fwd(device_type="cuda", cast_inputs=torch.float32)
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.float32)
    def forward(ctx, w, e, a, m0, chunk):
        memory = m0.expand(len(w), *m0.shape[-2:])
        reads, kept = torch.empty_like(a), []
        for t in range(w.shape[1]):
            if t % chunk == 0:
                kept.append(memory)
            torch.bmm(w[:, t].unsqueeze(1), memory, out=reads[:, t].unsqueeze(1))
            memory = write(memory, w[:, t], e[:, t], a[:, t])
        ctx.save_for_backward(w, e, a, *kept)
        ctx.chunk, ctx.start = chunk, m0.shape
        return reads

    @staticmethod
    @torch.amp.custom_bwd(device_type="cuda")
    @torch.amp.custom_bwd(device_type="cpu")
    def backward(ctx, grad):
        w, e, a, *kept = ctx.saved_tensors
        d_w, d_e, d_a = (torch.empty_like(x) for x in (w, e, a))
        d_memory = torch.zeros_like(kept[0])
        for number in reversed(range(len(kept))):
            first = number * ctx.chunk
            steps = range(first, min(first + ctx.chunk, w.shape[1]))
            before = [kept[number]]
            for t in steps[:-1]:
                before.append(write(before[-1], w[:, t], e[:, t], a[:, t]))
            for t in reversed(steps):
                memory, erase, g = before[t - first], e[:, t].unsqueeze(1), grad[:, t].unsqueeze(1)
                attention = w[:, t].unsqueeze(1)
                weighted = torch.bmm(attention, d_memory * memory).squeeze(1)
                torch.neg(weighted, out=d_e[:, t])
                torch.bmm(attention, d_memory, out=d_a[:, t].unsqueeze(1))
                change = torch.addcmul(a[:, t].unsqueeze(1), erase, memory, value=-1)
                d_w[:, t] = torch.addcmul(change.mul_(d_memory), memory, g).sum(2)
                d_memory = write(d_memory, w[:, t], e[:, t], grad[:, t])
        return d_w, d_e, d_a, d_memory.sum_to_size(ctx.start), None


def memory_read(
    w: torch.Tensor,
    e: torch.Tensor,
    a: torch.Tensor,
    m0: torch.Tensor,
    lengths: torch.Tensor,
    chunk: int | None = None,
) -> torch.Tensor:
    """As `autograd.memory_read`; keeps one memory in `chunk` steps (default: root of T).

    Under autocast the memory is in float32, whatever is read and written.
    """
    chunk = chunk or math.isqrt(int(lengths.max()) - 1) + 1
    at = places(lengths).to(w.device)
    reads = MemoryRead.apply(*(padded(x, lengths, at) for x in (w, e, a)), m0, chunk)
    return packed(reads, at)
