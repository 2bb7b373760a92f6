"""Arm `reference`: the representations as the original computes them, layer by layer.

Every representation and selection for itself, everything recomputed; the formulas are those of
docs/studies/lora_ablation.md, Representations. As in the original, moments and quantiles take all
adapters of a layer at once; what needs an SVD, a DFT or a histogram is a loop over adapters. Works
in the precision of its input; float64 is the truth of the tests.
Departs: an exception is an error, where the original fills in zeros or drops the representation.
"""

import math
from functools import partial

import numpy as np
import scipy.fft
import torch

from scripts.lora_ablation.data.layout import Layout

EPS = 1e-8
BINS = 50
ALL_LEVELS = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
INNER_LEVELS = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)


def simple_stats(x: torch.Tensor) -> torch.Tensor:
    """Frobenius norm, mean, std, max, min of tensors [n, p, q]: [n, 5]."""
    values = x.flatten(1)
    moments = [torch.linalg.vector_norm(values, dim=1), values.mean(1), values.std(1)]
    return torch.stack([*moments, values.amax(1), values.amin(1)], 1)


def rank_based(x: torch.Tensor) -> torch.Tensor:
    """Nine quantiles, q75 - q25 and q99 - q01: [n, 11]."""
    q = torch.quantile(x.flatten(1), x.new_tensor(ALL_LEVELS), dim=1)
    return torch.cat([q, torch.stack([q[5] - q[3], q[8] - q[0]])]).t()


def _shape(values: torch.Tensor) -> list[torch.Tensor]:
    """Skewness and kurtosis (not in excess of 3) of rows, standardised with std + eps."""
    z = (values - values.mean(1, keepdim=True)) / (values.std(1, keepdim=True) + EPS)
    return [(z**3).mean(1), (z**4).mean(1)]


def stats(x: torch.Tensor) -> torch.Tensor:
    """mean, std, lower median, min, max, skew, kurt: [n, 7]."""
    values = x.flatten(1)
    moments = [values.mean(1), values.std(1), values.median(1).values]
    return torch.stack([*moments, values.amin(1), values.amax(1), *_shape(values)], 1)


def spectral(x: torch.Tensor, svd: str = "full", legacy: bool = False) -> torch.Tensor:
    """Ten singular values, shares, gaps, entropy, cond, and the sum of the ten: [n, 32].

    `svd`: "full", or "lowrank" for the randomised SVD of the original's optimised script, whose
    `cond` is 1 where the tenth value is at most 1e-10; that only with `legacy`.
    """
    return torch.stack([_spectrum(w, svd, legacy) for w in x])


def _spectrum(w: torch.Tensor, svd: str, legacy: bool) -> torch.Tensor:
    if svd == "lowrank":
        values = torch.svd_lowrank(w, q=min(10, *w.shape))[1]
    else:
        values = torch.linalg.svd(w, full_matrices=False)[1]
    top = w.new_zeros(10)
    top[: len(values)] = values[:10]
    total = top.sum()
    share = top / (total + EPS)
    entropy = -(share * torch.log(share + EPS)).sum()
    cond = top[0] / (top[9] + EPS)
    if legacy and svd == "lowrank" and top[9].abs() <= 1e-10:
        cond = w.new_ones(())
    gaps = (top[:-1] - top[1:]) / (top[:-1] + EPS)
    return torch.cat([top, share, gaps, torch.stack([entropy, cond, total])])


def matrix_norms(x: torch.Tensor) -> torch.Tensor:
    """Frobenius, nuclear, spectral, l1, linf norm; nuclear and spectral over Frobenius: [n, 7]."""
    return torch.stack([_norms(w) for w in x])


def _norms(w: torch.Tensor) -> torch.Tensor:
    norms = [torch.linalg.matrix_norm(w, kind) for kind in ("fro", "nuc", 2, 1, math.inf)]
    frob, nuclear, largest = norms[:3]
    return torch.stack([*norms, nuclear / (frob + EPS), largest / (frob + EPS)])


def distribution(x: torch.Tensor) -> torch.Tensor:
    """Seven quantiles, q75 - q25, mean absolute deviation, std/|mean|, skew, kurt: [n, 12]."""
    values = x.flatten(1)
    q = torch.quantile(values, x.new_tensor(INNER_LEVELS), dim=1)
    mean = values.mean(1)
    spread = [q[4] - q[2], (values - mean[:, None]).abs().mean(1)]
    spread += [values.std(1) / (mean.abs() + EPS)]
    return torch.stack([*q, *spread, *_shape(values)], 1)


def frequency(x: torch.Tensor) -> torch.Tensor:
    """Ten largest magnitudes of the 2-D DFT, mean, std, max, concentration: [n, 14].

    Departs: fewer than ten bins are padded with zeros; the original's vector is shorter then.
    """
    return torch.stack([_fourier(w) for w in x])


def _fourier(w: torch.Tensor) -> torch.Tensor:
    magnitude = np.abs(scipy.fft.fft2(w.numpy())).ravel()
    largest = np.sort(magnitude)[::-1][:10]
    top = np.zeros(10, magnitude.dtype)
    top[: len(largest)] = largest
    concentration = (top**2).sum() / ((magnitude**2).sum() + EPS)
    numbers = [magnitude.mean(), magnitude.std(), magnitude.max(), concentration]
    return torch.from_numpy(np.concatenate([top, np.array(numbers, top.dtype)]))


def info_theoretic(x: torch.Tensor) -> torch.Tensor:
    """Entropy of a 50-bin histogram over [min, max], and its ratio to ln 50: [n, 2]."""
    return torch.stack([_entropy(w) for w in x])


def _entropy(w: torch.Tensor) -> torch.Tensor:
    share = torch.histogram(w.flatten(), BINS).hist / (w.numel() + EPS)
    entropy = -(share * torch.log(share + EPS)).sum()
    return torch.stack([entropy, entropy / math.log(BINS)])


def ensemble(x: torch.Tensor, svd: str = "full", legacy: bool = False) -> torch.Tensor:
    """spectral, matrix_norms, distribution, frequency, info_theoretic, all anew: [n, 67]."""
    parts = (matrix_norms, distribution, frequency, info_theoretic)
    return torch.cat([spectral(x, svd, legacy), *(part(x) for part in parts)], 1)


EXTRACTORS = {
    function.__name__: function
    for function in (simple_stats, rank_based, stats, spectral, matrix_norms, distribution,
                     frequency, info_theoretic, ensemble)
}  # fmt: skip


def represent(
    matrix: np.ndarray,
    layout: Layout,
    representation: str,
    tensors: list[int],
    svd: str = "full",
    legacy: bool = False,
    dtype: torch.dtype | None = None,
    seed: int = 0,
) -> np.ndarray:
    """A representation of these tensors, one tensor (layer) after the other.

    matrix [rows, layout.width] -> [rows, tensors * k] in `dtype`, or in the precision of the matrix
    without one. `svd` and `legacy` as in `spectral`, which ensemble contains; the other
    representations have no such choice.
    Departs: the randomised SVD draws from a generator seeded with `seed`; the original's is
    unseeded.
    """
    extract = EXTRACTORS[representation]
    if representation in ("spectral", "ensemble"):
        extract = partial(extract, svd=svd, legacy=legacy)
    parts = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for i in tensors:
            layer = np.asarray(matrix[:, layout.offsets[i] : layout.offsets[i + 1]])
            x = torch.tensor(layer, dtype=dtype).view(-1, *layout.shapes[i])
            parts.append(extract(x))
    return torch.cat(parts, 1).numpy()
