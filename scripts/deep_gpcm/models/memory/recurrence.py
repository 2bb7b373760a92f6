"""The memory recurrence as compiled loops that keep one sequence's memory in the cache.

Compiled by Numba at the first call for float32 or float64 arrays, and kept on disk. No division and
no logarithm: gates may round to exactly 0. Only the gradient of the attention has sums that may be
reassociated.
"""

import numpy as np

from scripts.lib.compiled import entry


@entry
def read_forward(w, e, a, m0, lengths, chunk, reads, kept):
    """Fill reads (S, D), and with the memory before every `chunk`-th step kept (., N, D).

    Rows of w (S, N), e (S, D), a (S, D) are the answers of all sequences, one after the other. With
    chunk 0 nothing is kept.
    """
    memory = np.empty_like(m0)
    row = slot = 0
    for length in lengths:
        memory[:] = m0
        for t in range(length):
            if chunk and t % chunk == 0:
                kept[slot] = memory
                slot += 1
            erase, add, read = e[row], a[row], reads[row]
            read[:] = 0
            for n in range(len(m0)):
                weight, cells = w[row, n], memory[n]
                for d in range(len(cells)):
                    old = cells[d]
                    read[d] += weight * old
                    cells[d] = old + weight * (add[d] - erase[d] * old)
            row += 1


@entry
def read_backward(w, e, a, lengths, chunk, kept, grad, d_w, d_e, d_a, d_m0):
    """Fill d_w, d_e, d_a, d_m0 for the gradient `grad` (S, D) of the reads.

    The adjoint G of the memory follows the same recurrence from the last answer to the first, with
    `grad` in place of `a` (docs/studies/deep_gpcm.md, Adjoint of
    the memory); memories are computed again from those kept.
    """
    adjoint = np.empty_like(d_m0)
    before = np.empty((chunk, *d_m0.shape), d_m0.dtype)
    start = slot = 0
    d_m0[:] = 0
    for length in lengths:
        chunks = (length + chunk - 1) // chunk
        adjoint[:] = 0
        for number in range(chunks - 1, -1, -1):
            first = number * chunk
            last = min(length, first + chunk) - 1
            before[0] = kept[slot + number]
            for t in range(last - first):
                row = start + first + t
                erase, add = e[row], a[row]
                for n in range(len(d_m0)):
                    weight, old, new = w[row, n], before[t, n], before[t + 1, n]
                    for d in range(len(old)):
                        new[d] = old[d] + weight * (add[d] - erase[d] * old[d])
            for t in range(last - first, -1, -1):
                row = start + first + t
                erase, add, g, d_erase, d_add = e[row], a[row], grad[row], d_e[row], d_a[row]
                d_erase[:] = 0
                d_add[:] = 0
                for n in range(len(d_m0)):
                    weight, old, G = w[row, n], before[t, n], adjoint[n]
                    d_weight = w[row, n] * 0
                    for d in range(len(old)):
                        # `change` serves two sums and the recurrence.
                        change = g[d] - erase[d] * G[d]
                        weighted = weight * G[d]
                        d_add[d] += weighted
                        d_erase[d] -= weighted * old[d]
                        d_weight += old[d] * change + G[d] * add[d]
                        G[d] += weight * change
                    d_w[row, n] = d_weight
        d_m0 += adjoint
        start += length
        slot += chunks
