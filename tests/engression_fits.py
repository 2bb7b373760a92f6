"""Fits on the streams of the study, and how two of them are compared."""

from pathlib import Path

import pytest
import torch
import yaml

from scripts.engression.arms import ESTIMATORS, REFERENCES, fit
from scripts.engression.load import simulate
from scripts.engression.network import (
    layer_widths,
)

CONFIG = yaml.safe_load(
    (Path(__file__).parents[1] / "config" / "engression.yaml").read_text(encoding="utf-8")
)["engression"]
NET = CONFIG["net"]
WIDTHS = layer_widths(NET)
BOTH = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
TRAINERS = pytest.mark.parametrize("trainer", [*REFERENCES, *ESTIMATORS])
ARMS = pytest.mark.parametrize("arm", CONFIG["arms"])


def options(**changes):
    """The study's training options, with two antithetic draws where a trainer asks for that."""
    return CONFIG["train"] | {"draws_per_point": 2, "antithetic": True} | changes


def trained(trainer, n, dtype, law="normal", **changes):
    """A fit on the sample and the streams of the unit (law, n, 0)."""
    x = torch.from_numpy(simulate(42, law, n, 0)).to(dtype)
    return fit(trainer, x, NET, options(**changes), (42, "engression", law, n, 0))


def largest_difference(a, b):
    return float((a.double() - b.double()).abs().max())


def losses(fitted):
    return torch.tensor([values[0] for values in fitted.history], dtype=torch.float64)


def grouped_loss(x, y):
    """The loss of spec 2.1 for x (B,) and y (B, m) by its pair tensor."""
    m = y.shape[1]
    pairs = (y.unsqueeze(2) - y.unsqueeze(1)).abs().sum() / (len(x) * m * (m - 1))
    return (x.unsqueeze(1) - y).abs().mean() - pairs / 2
