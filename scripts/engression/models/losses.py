"""The energy loss: as the original writes it, by cdist, and with its gradient in closed form.

Per data point x_i with m draws y_ij:
    term1_i = mean_j |x_i - y_ij|,  term2_i = mean_{j != j'} |y_ij - y_ij'|,
    loss = mean_i (term1_i - term2_i / 2).
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
def rank_weights(count: int, dtype: torch.dtype) -> torch.Tensor:
    """2r - 1 - count for the ranks r = 1..count."""
    return torch.arange(1 - count, count, 2, dtype=dtype)


def grouped_gradient(x: torch.Tensor, y: torch.Tensor, batch: int):
    """Closed form of the baseline loss in one dimension, O(m log m) per data point.

    x is (b,), y is (b, m): `b` data points of a batch of `batch`. Returns this part's sums
    (sum_i term1_i, sum_i term2_i) and d loss / d y, shape (b, m), scaled for the whole batch.
    """
    m = y.shape[1]
    ordered, order = torch.sort(y, dim=1)
    weight = rank_weights(m, y.dtype)
    distance = y - x.unsqueeze(1)
    term1 = distance.abs().sum() / m
    term2 = torch.mv(ordered, weight).sum() * (2 / (m * (m - 1)))
    ranks = torch.empty_like(y).scatter_(1, order, weight.expand_as(y))
    gradient = distance.sign_().sub_(ranks, alpha=1 / (m - 1)).div_(batch * m)
    return term1, term2, gradient


def pooled_gradient(x: torch.Tensor, y: torch.Tensor, antithetic: bool = False):
    """The loss with all N draws of the batch shared by all B data points, and d loss / d y.

    x is (B,), y is (N,). A U-statistic with the same expectation as the baseline loss for
    N >= 2, because g takes no covariate: O((B + N) log(B + N)).
    With `antithetic`, draw j and draw j + N/2 share their noise up to sign; such pairs are not
    independent and are left out of term2, which keeps it unbiased.
    Returns (loss, term1, term2, gradient (N,)), the first three as floats.
    """
    batch, count = x.shape[0], y.shape[0]
    x_sorted = torch.sort(x).values
    ordered, order = torch.sort(y)
    # mean over i of sign(y_j - x_i), and over j of sign(x_i - y_j)
    y_above = torch.searchsorted(x_sorted, ordered).to(y.dtype).mul_(2 / batch).sub_(1)
    x_above = torch.searchsorted(ordered, x_sorted, right=True).to(y.dtype)
    x_above.mul_(2 / count).sub_(1)
    term1 = float(torch.dot(y_above, ordered)) / count + float(torch.dot(x_above, x_sorted)) / batch
    weight = rank_weights(count, y.dtype)
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
