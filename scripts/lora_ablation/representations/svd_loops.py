"""Ways to the ten largest singular values (claim LVA-1) and to the DFT (LPL-4) of many matrices.

Every SVD way takes float32 [n, p, q] and gives [n, 10], descending, padded with zeros.
"""

import numpy as np
import torch

from scripts.lora_ablation.representations import reference
from scripts.lora_ablation.representations.grouped import keep_heap
from scripts.lora_ablation.representations.singular import singular_values, top10


def full_loop(x: np.ndarray) -> np.ndarray:
    """A full SVD with vectors of each matrix in turn, as in the source's first script."""
    values = [torch.linalg.svd(w, full_matrices=False)[1] for w in torch.from_numpy(x)]
    return top10(torch.stack(values).numpy())


def lowrank_loop(x: np.ndarray) -> np.ndarray:
    """The randomised SVD of each matrix in turn, as in the source's optimised script.

    Random: from torch's global generator. An approximation where min(p, q) > 10.
    """
    matrices = torch.from_numpy(x)
    values = [torch.svd_lowrank(w, q=min(10, *w.shape))[1] for w in matrices]
    return top10(torch.stack(values).numpy())


def batched_svdvals(x: np.ndarray) -> np.ndarray:
    """One batched call for the singular values only."""
    return top10(torch.linalg.svdvals(torch.from_numpy(x)).numpy())


def qr_batched(x: np.ndarray) -> np.ndarray:
    """Ours: the norm of a vector, else QR in float64 and the SVD of the small factor."""
    keep_heap()
    return top10(singular_values(x))


def gram64_batched(x: np.ndarray) -> np.ndarray:
    """Roots of the eigenvalues of the float64 Gram matrix, which squares the condition number."""
    return gram_batched(x, np.float64)


def gram_batched(x: np.ndarray, dtype: type) -> np.ndarray:
    """The same in another precision; in float32 it fails beyond a condition of about 1e3."""
    keep_heap()
    wide = (x if x.shape[1] <= x.shape[2] else x.swapaxes(1, 2)).astype(dtype)
    gram = torch.from_numpy(wide @ wide.swapaxes(1, 2))
    squares = torch.linalg.eigvalsh(gram).clamp(min=0).flip(1)
    return top10(squares.sqrt().numpy())


def fft_loop(x: np.ndarray) -> np.ndarray:
    """The numbers of the family `frequency`, [n, 14], from a full DFT of each matrix in turn."""
    return reference.frequency(torch.from_numpy(x)).numpy()
