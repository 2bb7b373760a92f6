"""All families but those of pairs in PyTorch, on a CPU or a GPU, many adapters at a time.

Chunks of adapters go straight from the memory map, on a GPU through pinned memory; formulas are
those of the families' own modules, in the same precision.
"""

import math

import numpy as np
import torch

from scripts.lib.devices import torch_device
from scripts.lib.gpu_stacks import fitting
from scripts.lora_ablation.data.layout import Layout
from scripts.lora_ablation.representations import entropy as entropy_of
from scripts.lora_ablation.representations import frequency as frequency_of
from scripts.lora_ablation.representations import moments as moments_of
from scripts.lora_ablation.representations import quantiles as quantiles_of
from scripts.lora_ablation.representations import spectral as spectral_of
from scripts.lora_ablation.representations.catalogue import FAMILIES
from scripts.lora_ablation.representations.grouped import by_shape

# A GPU is filled, and the copies in float64 fit beside it; the cache of a processor is small.
CHUNK_BYTES = {"cpu": 1 << 22, "cuda": 1 << 28}

BATCHED = 32  # longest side of matrices that cuSOLVER's Jacobi method takes as a batch


def moments(x: torch.Tensor) -> torch.Tensor:
    z = x.flatten(1).double()
    mean = z.mean(1)
    z -= mean.unsqueeze(1)
    squares = z * z
    std = (squares.sum(1) / max(z.shape[1] - 1, 1)).sqrt()
    third, fourth = (squares * z).mean(1), (squares * squares).mean(1)
    scale = std + moments_of.EPS
    cv = std / (mean.abs() + moments_of.EPS)
    return torch.stack([mean, std, third / scale**3, fourth / scale**4, z.abs().mean(1), cv], 1)


def quantiles(x: torch.Tensor) -> torch.Tensor:
    ordered = x.flatten(1).sort(1).values
    last = ordered.shape[1] - 1
    rank = quantiles_of.LEVELS * np.float32(last)
    below = rank.astype(np.int64)
    low, high = ordered[:, below.tolist()], ordered[:, np.minimum(below + 1, last).tolist()]
    weight = torch.from_numpy(rank - below.astype(np.float32)).to(x.device)
    nearer = low + weight * (high - low), high - (high - low) * (1 - weight)
    levels = torch.where(weight < 0.5, *nearer)
    ranges = levels[:, [5, 8]] - levels[:, [3, 0]]
    return torch.cat([ordered[:, [0, last, last // 2]], levels, ranges], 1)


def norms(x: torch.Tensor) -> torch.Tensor:
    size = x.abs()
    frob = torch.linalg.vector_norm(x, dim=(1, 2))
    return torch.stack([frob, size.sum(1).amax(1), size.sum(2).amax(1)], 1)


def singular_values(x: torch.Tensor) -> torch.Tensor:
    """All singular values of each matrix, descending, float64 (n, min(p, q)).

    The SVD is of the factor R of the modified Gram-Schmidt process, which is as near to that of the
    matrix as Householder's (Bjorck, "Solving linear least squares problems by Gram-Schmidt
    orthogonalization", BIT 7, 1967), in as many products as there are columns.
    """
    if min(x.shape[1:]) == 1:
        return torch.linalg.vector_norm(x.double(), dim=(1, 2)).unsqueeze(1)
    rest = (x if x.shape[1] >= x.shape[2] else x.mT).double().contiguous()
    triangle = rest.new_zeros(len(rest), rest.shape[2], rest.shape[2])
    for column in range(rest.shape[2]):
        own = rest[:, :, column : column + 1]
        length = torch.linalg.vector_norm(own, dim=1, keepdim=True)
        own = own / torch.where(length > 0, length, 1)
        along = own.mT @ rest[:, :, column + 1 :]
        triangle[:, column, column] = length[:, 0, 0]
        triangle[:, column, column + 1 :] = along[:, 0]
        rest[:, :, column + 1 :] -= own @ along
    # On a GPU those of larger matrices are taken one after the other.
    return torch.linalg.svdvals(triangle if len(triangle[0]) <= BATCHED else triangle.cpu())


def spectral(x: torch.Tensor) -> torch.Tensor:
    # Few numbers are left of a matrix: what is made of them costs less than to write it twice.
    return torch.from_numpy(spectral_of.numbers(singular_values(x).cpu().numpy()))


def frequency(x: torch.Tensor) -> torch.Tensor:
    n, p, q = x.shape
    if min(p, q) == 1:
        p, q = 1, p * q
    magnitude = torch.fft.rfft2(x.reshape(n, p, q)).abs()
    # Half of the spectrum; all but the first column, and the last of an even number, stand for two.
    mirrored = magnitude[:, :, 1 : (q + 1) // 2].flatten(1)
    single = magnitude[:, :, :: q // 2] if q % 2 == 0 else magnitude[:, :, :1]
    single = single.flatten(1)
    most = frequency_of.TOP
    twice = mirrored.topk(min(most // 2, mirrored.shape[1])).values
    once = single.topk(min(most, single.shape[1])).values
    found = torch.cat([twice, twice, once], 1).sort(1, descending=True).values[:, :most]
    top = torch.nn.functional.pad(found, (0, most - found.shape[1]))
    mean = (2 * mirrored.sum(1) + single.sum(1)) / (p * q)
    squares = [(part - mean.unsqueeze(1)).square().sum(1) for part in (mirrored, single)]
    variance = (2 * squares[0] + squares[1]) / (p * q)
    energy = (variance + mean * mean) * (p * q)
    concentration = top.square().sum(1) / (energy + frequency_of.EPS)
    numbers = torch.stack([mean, variance.sqrt(), top[:, 0], concentration], 1)
    return torch.cat([top, numbers], 1)


def entropy(x: torch.Tensor) -> torch.Tensor:
    values, bins = x.flatten(1), entropy_of.BINS
    low, high = (end.double().unsqueeze(1) for end in values.aminmax(dim=1))
    scale = torch.where(high > low, bins / (high - low), 0)
    # The largest value belongs to the last bin.
    which = ((values - low) * scale).long().clamp_(max=bins - 1)
    which += torch.arange(len(x), device=x.device).unsqueeze(1) * bins
    counts = torch.bincount(which.flatten(), minlength=len(x) * bins).view(-1, bins)
    share = counts / (values.shape[1] + entropy_of.EPS)
    found = -(share.double() * (share.double() + entropy_of.EPS).log()).sum(1)
    return torch.stack([found, found / math.log(bins)], 1)


COMPUTE = {
    "moments": moments,
    "quantiles": quantiles,
    "norms": norms,
    "spectral": spectral,
    "frequency": frequency,
    "entropy": entropy,
}


def numbers(
    matrix: np.ndarray, layout: Layout, families: list[str], device: str
) -> dict[str, np.ndarray]:
    """Numbers of families: float32 [rows, tensors, k] each, of matrix float32 [rows, width].

    A family's numbers are those of its own module (`compute`), up to rounding; only whole rows are
    taken, and no chunk changes a number by more. ContractError where a GPU has no memory for one
    row.
    """
    place = torch_device(device)
    step = max(1, CHUNK_BYTES[device] // (4 * layout.width))
    found: dict[str, list[np.ndarray]] = {family: [] for family in families}
    for start in range(0, len(matrix), step):
        rows = range(start, min(start + step, len(matrix)))
        for part in fitting(lambda some: [_of_rows(matrix, some, layout, families, place)], rows):
            for family in families:
                found[family].append(part[family])
    return {family: np.concatenate(parts) for family, parts in found.items()}


def _of_rows(
    matrix: np.ndarray, rows: range, layout: Layout, families: list[str], device: torch.device
) -> dict[str, np.ndarray]:
    """The same of some rows at once."""
    staged = torch.empty(len(rows), layout.width, pin_memory=device.type == "cuda")
    staged.numpy()[:] = matrix[rows.start : rows.stop]
    values, tensors = staged.to(device, non_blocking=True), len(layout.names)
    found = {f: np.empty((len(rows), tensors, len(FAMILIES[f])), np.float32) for f in families}
    for shape, members in by_shape(list(layout.shapes)).items():
        parts = [values[:, layout.offsets[i] : layout.offsets[i + 1]] for i in members]
        batch = torch.stack(parts, 1).view(-1, *shape)
        made = {family: COMPUTE[family](batch).float() for family in families}
        for family, of_family in made.items():
            found[family][:, members] = of_family.view(len(rows), len(members), -1).cpu().numpy()
    return found
