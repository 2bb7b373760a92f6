"""How good conditional draws are: energy score, coverage, median, and the curve of a figure."""

from collections.abc import Callable

import numpy as np
import torch

from scripts.engression.models.losses import lengths, within
from scripts.engression.models.network import Backprop, fill_normal, inputs, views

# Values of the generator for some covariates: (rows, draws, d), float64, standardised.
Generator = Callable[[np.ndarray, int, torch.Generator], np.ndarray]
LOW, HIGH = 0.05, 0.95
ROWS = 50  # that are scored at once: draws x draws distances of each


def generator(parameters: torch.Tensor, widths: list[int]) -> Generator:
    """The generator of flat parameters."""

    def values(given: np.ndarray, draws: int, rng: torch.Generator) -> np.ndarray:
        found = []
        network = Backprop(views(parameters, widths), [], ROWS * draws)
        for part in torch.from_numpy(given).to(parameters.dtype).split(ROWS):
            noise = parameters.new_empty(len(part) * draws, widths[0] - given.shape[1])
            rows = inputs(fill_normal(noise, rng), part)
            found.append(network.forward(rows).clone().view(len(part), draws, -1))
        return torch.cat(found).double().numpy()

    return values


def energy_scores(y: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """E|y - Y| - E|Y - Y'| / 2 of each row y (n, d) and its draws (n, m, d), unbiased; (n,)."""
    m, several = draws.shape[1], draws.shape[2] > 1
    found = []
    for some, near in zip(
        torch.from_numpy(y).split(ROWS), torch.from_numpy(draws).split(ROWS), strict=True
    ):
        own = near if several else near.squeeze(2)
        gaps = near - some.unsqueeze(1)
        term1 = lengths(gaps if several else gaps.squeeze(2), several).mean(1)
        found.append(term1 - within(own)[0] / (m * (m - 1)))
    return torch.cat(found).numpy()


def scores(y: np.ndarray, draws: np.ndarray) -> dict[str, float]:
    """Metrics of test responses y (n, d) and conditional draws (n, m, d), in standardised units.

    Of several responses, all but the energy score are means over them. The interval is that between
    order statistics, which covers 90 % on average where the draws have the right law.
    """
    low, median, high = np.quantile(draws, [LOW, 0.5, HIGH], axis=1, method="weibull")
    return {
        "energy_score": float(energy_scores(y, draws).mean()),
        "coverage": float(((low <= y) & (y <= high)).mean()),
        "width": float((high - low).mean()),
        "median_error": float(np.abs(y - median).mean()),
        "mean_error": float(np.sqrt(((y - draws.mean(axis=1)) ** 2).mean())),
    }


def curve(
    values: Generator, data: dict[str, np.ndarray], rng: torch.Generator
) -> list[list[float]]:
    """Rows (x, low, median, high) over the range of one covariate, in the units of the table."""
    both = np.concatenate([data["given"], data["test_given"]])
    x = np.linspace(both.min(), both.max(), 41)
    draws = values(x[:, None].astype("float32"), 999, rng)[:, :, 0]
    (x_mean, y_mean), (x_sd, y_sd) = data["mean"], data["sd"]
    bands = np.quantile(draws, [LOW, 0.5, HIGH], axis=1, method="weibull") * y_sd + y_mean
    return np.column_stack([x * x_sd + x_mean, *bands]).tolist()
