"""The memory read step by step under autograd, all sequences of the padded batch together.

What the other memory reads must equal (docs/studies/deep_gpcm.md, Memory). It computes where its
tensors are; `lengths` may stay on the CPU, where asking for the longest makes no device wait.
"""

import torch

from scripts.deep_gpcm.models.batches import packed, padded, places


def memory_read(
    w: torch.Tensor, e: torch.Tensor, a: torch.Tensor, m0: torch.Tensor, lengths: torch.Tensor
) -> torch.Tensor:
    """What each answer reads from the memory before it is written: (S, D).

    Rows are the answers of all sequences, one sequence after the other, `lengths` (B,) of them:
    attention w (S, N), erase e (S, D), add a (S, D). m0 is where sequences start: (N, D), all from
    the same memory, or (B, N, D), each from its own, as those of several folds do.
    """
    at = places(lengths).to(w.device)
    w, e, a = (padded(x, lengths, at) for x in (w, e, a))
    memory = m0.expand(len(lengths), *m0.shape[-2:])
    reads = []
    for t in range(w.shape[1]):
        attention = w[:, t].unsqueeze(2)
        reads.append(torch.bmm(attention.transpose(1, 2), memory).squeeze(1))
        erase, add = e[:, t].unsqueeze(1), a[:, t].unsqueeze(1)
        memory = memory * (1 - attention * erase) + attention * add
    return packed(torch.stack(reads, 1), at)
