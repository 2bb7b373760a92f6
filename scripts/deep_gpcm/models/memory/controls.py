"""Two wrong memory reads that train well: controls that the proof must fail.

docs/studies/deep_gpcm.md, Golden facts.
"""

import torch

from scripts.deep_gpcm.models.memory import fused


def no_erase(
    w: torch.Tensor, e: torch.Tensor, a: torch.Tensor, m0: torch.Tensor, lengths: torch.Tensor
) -> torch.Tensor:
    """Reads of a memory that only adds, so that the order of answers does not matter."""
    return fused.memory_read(w, 0 * e, a, m0, lengths)


def first_memory(
    w: torch.Tensor, e: torch.Tensor, a: torch.Tensor, m0: torch.Tensor, lengths: torch.Tensor
) -> torch.Tensor:
    """Reads of the memory that every sequence starts from: earlier answers do not count."""
    # Erase and add vectors stay in the graph, with a gradient of zero.
    return w @ m0 + 0 * (e + a)
