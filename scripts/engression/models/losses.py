"""The energy loss: as the original writes it, by cdist, and with its gradient in closed form.

Per data point x_i with m draws y_ij:
    term1_i = mean_j |x_i - y_ij|,  term2_i = mean_{j != j'} |y_ij - y_ij'|,
    loss = mean_i (term1_i - term2_i / 2).
In one dimension the gradients come from ranks; in several from the directions of all pairs.
"""

import functools

import torch


def broadcast_loss(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """(loss, term1, term2) of x (B, d) and draws y (B, m, d), by pair tensor and mask."""
    m = y.shape[1]
    term1 = torch.norm(x.unsqueeze(1).expand(-1, m, -1) - y, dim=2).mean(dim=1)
    pairs = torch.norm(y.unsqueeze(2) - y.unsqueeze(1), dim=3)
    mask = 1 - torch.eye(m, dtype=y.dtype, device=y.device)
    term2 = (pairs * mask).sum(dim=(1, 2)) / (m * (m - 1))
    return (term1 - 0.5 * term2).mean(), term1.mean(), term2.mean()


def cdist_loss(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """(loss, term1, term2) by default-mode cdist: the original's "optimised" loss.

    Above 25 rows cdist switches to |x|^2 + |y|^2 - 2xy, whose gradient is 0.7-3.5 % off
    (docs/studies/engression.md, Loss). Kept only for the arm that reproduces the original.
    """
    m = y.shape[1]
    term1 = torch.cdist(x.unsqueeze(1), y, p=2).squeeze(1).mean(dim=1)
    pairs = torch.cdist(y, y, p=2)
    diagonal = torch.diagonal(pairs, dim1=1, dim2=2).sum(dim=1)
    term2 = (pairs.sum(dim=(1, 2)) - diagonal) / (m * (m - 1))
    return (term1 - 0.5 * term2).mean(), term1.mean(), term2.mean()


@functools.cache
def rank_weights(count: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """2r - 1 - count for the ranks r = 1..count."""
    return torch.arange(1 - count, count, 2, dtype=dtype, device=device)


def lengths(vectors: torch.Tensor, several: bool) -> torch.Tensor:
    """Absolute values; with `several`, norms of the vectors of the last dimension."""
    return torch.linalg.vector_norm(vectors, dim=-1) if several else vectors.abs()


def directions(vectors: torch.Tensor, several: bool) -> torch.Tensor:
    """Signs; with `several`, unit vectors of the last dimension. Zero where there is none."""
    if not several:
        return vectors.sign()
    norms = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    return vectors / norms.where(norms > 0, 1)


def within(y: torch.Tensor, antithetic: bool = False) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Of draws y (b, m) or (b, m, d): what term2 is made of.

    Returns the sum of |y_j - y_k| over the pairs j < k of each point, (b,), its gradient, as y,
    and the number of draws that a draw is paired with. With `antithetic`, draws j and j + m/2
    share their noise up to sign; such pairs are left out.
    """
    m, several = y.shape[1], y.ndim == 3
    if several:
        gaps = y.unsqueeze(2) - y.unsqueeze(1)
        total, slope = lengths(gaps, True).sum((1, 2)) / 2, directions(gaps, True).sum(2)
    else:
        ordered, order = torch.sort(y, dim=1)
        weight = rank_weights(m, y.dtype, y.device)
        total = torch.mv(ordered, weight)
        slope = torch.empty_like(y).scatter_(1, order, weight.expand_as(y))
    if not antithetic:
        return total, slope, m - 1
    gap = y[:, : m // 2] - y[:, m // 2 :]
    mirrored = directions(gap, several)
    slope[:, : m // 2] -= mirrored
    slope[:, m // 2 :] += mirrored
    return total - lengths(gap, several).sum(1), slope, m - 2


def grouped_gradient(x: torch.Tensor, y: torch.Tensor, batch: int, antithetic: bool = False):
    """Closed form of the baseline loss; in one dimension O(m log m) per data point.

    x is (b,) and y (b, m), or (b, d) and (b, m, d): `b` data points of a batch of `batch`. Returns
    this part's sums (sum_i term1_i, sum_i term2_i) and d loss / d y, as y, scaled for the whole
    batch. Without mirrored pairs (`antithetic`, m >= 4) term2 is unbiased too.
    """
    m, several = y.shape[1], y.ndim == 3
    total, slope, others = within(y, antithetic)
    distance = y - x.unsqueeze(1)
    term1 = lengths(distance, several).sum() / m
    term2 = total.sum() * (2 / (m * others))
    gradient = directions(distance, several).sub_(slope, alpha=1 / others).div_(batch * m)
    return term1, term2, gradient


def pooled_gradient(x: torch.Tensor, y: torch.Tensor, antithetic: bool = False):
    """The loss with all N draws of the batch shared by all B data points, and d loss / d y.

    x is (B,), y is (N,), or (B, d) and (N, d). A U-statistic with the same expectation as the
    baseline loss for N >= 2, because g takes no covariate: in one dimension
    O((B + N) log(B + N)).
    With `antithetic`, draw j and draw j + N/2 share their noise up to sign; such pairs are not
    independent and are left out of term2, which keeps it unbiased.
    Returns (loss, term1, term2, gradient (N,)), the first three as floats.
    """
    if x.ndim == 2:
        return pooled_in_space(x, y, antithetic)
    batch, count = x.shape[0], y.shape[0]
    x_sorted = torch.sort(x).values
    ordered, order = torch.sort(y)
    # mean over i of sign(y_j - x_i), and over j of sign(x_i - y_j)
    y_above = torch.searchsorted(x_sorted, ordered).to(y.dtype).mul_(2 / batch).sub_(1)
    x_above = torch.searchsorted(ordered, x_sorted, right=True).to(y.dtype)
    x_above.mul_(2 / count).sub_(1)
    term1 = float(torch.dot(y_above, ordered)) / count + float(torch.dot(x_above, x_sorted)) / batch
    weight = rank_weights(count, y.dtype, y.device)
    pair_sum = 2 * float(torch.dot(weight, ordered))
    others = count - (2 if antithetic else 1)  # draws that a draw is paired with
    slope = y_above.sub_(weight, alpha=1 / others).div_(count)
    gradient = torch.empty_like(y).scatter_(0, order, slope)
    if antithetic:
        half = count // 2
        gap = y[:half] - y[half:]
        pair_sum -= 2 * float(gap.abs().sum())
        sign = gap.sign_().div_(others * count)
        gradient[:half] += sign
        gradient[half:] -= sign
    term2 = pair_sum / (count * others)
    return term1 - 0.5 * term2, term1, term2, gradient


def pooled_in_space(x: torch.Tensor, y: torch.Tensor, antithetic: bool):
    """`pooled_gradient` of x (B, d) and y (N, d) by all pairs, O((B + N) N)."""
    count = len(y)
    total, slope, others = within(y.unsqueeze(0), antithetic)
    gaps = y.unsqueeze(1) - x
    term1, term2 = float(lengths(gaps, True).mean()), 2 * float(total) / (count * others)
    gradient = directions(gaps, True).mean(1).sub_(slope[0], alpha=1 / others).div_(count)
    return term1 - 0.5 * term2, term1, term2, gradient


def stacked_pooled_gradient(x: torch.Tensor, y: torch.Tensor, antithetic: bool = False):
    """`pooled_gradient` of each unit of a stack: x (U, B), y (U, N), or (U, B, d) and (U, N, d).

    Returns loss, term1, term2 of each as (U, 3), on the device of y, and the gradient, as y.
    """
    count = y.shape[1]
    if x.ndim == 3:
        total, slope, others = within(y, antithetic)
        gaps = y.unsqueeze(2) - x.unsqueeze(1)
        term1 = lengths(gaps, True).mean((1, 2))
        gradient = directions(gaps, True).mean(2).sub_(slope, alpha=1 / others).div_(count)
    else:
        batch, others = x.shape[1], count - (2 if antithetic else 1)
        x_sorted = torch.sort(x).values
        ordered, order = torch.sort(y)
        y_above = torch.searchsorted(x_sorted, ordered).to(y.dtype).mul_(2 / batch).sub_(1)
        x_above = torch.searchsorted(ordered, x_sorted, right=True).to(y.dtype)
        x_above.mul_(2 / count).sub_(1)
        term1 = (y_above * ordered).sum(1) / count + (x_above * x_sorted).sum(1) / batch
        weight = rank_weights(count, y.dtype, y.device)
        total = (ordered * weight).sum(1)
        slope = y_above.sub_(weight, alpha=1 / others).div_(count)
        gradient = torch.empty_like(y).scatter_(1, order, slope)
        if antithetic:
            half = count // 2
            gap = y[:, :half] - y[:, half:]
            total = total - gap.abs().sum(1)
            sign = gap.sign_().div_(others * count)
            gradient[:, :half] += sign
            gradient[:, half:] -= sign
    term2 = 2 * total / (count * others)
    return torch.stack([term1 - 0.5 * term2, term1, term2], 1), gradient
