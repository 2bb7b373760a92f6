"""Small cells to train on, the options of their training, and the configuration of the study."""

from pathlib import Path

import numpy as np
import torch
import yaml

from scripts.lib.config import read_settings
from scripts.lib.torch_rng import torch_rng
from scripts.lora_ablation.data.cell import Cell, parts_of
from scripts.lora_ablation.models import reference
from scripts.lora_ablation.models.network import Shape, initial
from scripts.lora_ablation.settings import Section
from scripts.lora_ablation.specs import Train

ROOT = Path(__file__).resolve().parents[1]
KEY = (42, "lora_ablation", "train", "stats", "all", 100)
N_TRAIN, N_VAL, N_TEST = 40, 17, 23


def configuration() -> dict:
    """The study's section of the default configuration."""
    return yaml.safe_load((ROOT / "config/lora_ablation.yaml").read_text())["lora_ablation"]


def section(**changes) -> Section:
    """The same as the workflow reads it, with other values of its keys."""
    return read_settings(Section, configuration() | changes, "lora_ablation")


def options(**changes) -> Train:
    """The default training options for a net of seconds, unchecked; `changes` on top."""
    small = {"hidden": 8, "batch": 8, "max_epochs": 12, "patience": 6, "lr_patience": 1}
    return section().train.model_copy(update=small | {"lr": 0.01} | changes)


def keys(runs: int) -> list[tuple]:
    return [(*KEY, run) for run in range(runs)]


def cell(columns: int = 10, noise: tuple[int, ...] = (), n_train: int = N_TRAIN) -> Cell:
    """Three classes that most columns hint at; the columns `noise` hold rounding noise around 1.

    Training values are the column's mean +- a power of two, as many above as below, so that
    standardisation is exact and all trainers start from the same bits.
    """
    rng = np.random.default_rng(3)
    n = n_train + N_VAL + N_TEST
    y = rng.integers(0, 3, n)
    score = rng.standard_normal((3, columns))[y] + 0.7 * rng.standard_normal((n, columns))
    x = score.astype(np.float32)
    order = np.argsort(score[:n_train], axis=0).argsort(axis=0)
    x[:n_train] = np.where(order < n_train // 2, -1, 1)
    x = (x * np.exp2(rng.integers(-2, 3, columns)) + rng.integers(-3, 4, columns)).astype("f4")
    for column in noise:
        x[:, column] = 1 + 1.2e-7 * rng.integers(0, 3, n)
    split = ["train"] * n_train + ["val"] * N_VAL + ["test"] * N_TEST
    return Cell(x, y, ["bird", "cat", "dog"], parts_of(split, 100, 42))


def gaussian(columns: int = 10) -> Cell:
    """The same with normal training values, whose standardisation rounds."""
    made = cell(columns)
    rng = np.random.default_rng(4)
    centre = rng.standard_normal((3, columns))[made.y]
    made.x = (3 + centre + rng.standard_normal(made.x.shape)).astype(np.float32)
    return made


def flat(shape: Shape, run: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Initial parameters, with scales and shifts of the batch norms that are not 1 and 0."""
    start = initial(shape, torch.ones(shape.inputs, dtype=torch.bool), torch_rng(run, "i"), dtype)
    return start + 0.1 * torch.randn(start.shape, generator=torch_rng(run, "j")).to(dtype)


def module(shape: Shape, values: torch.Tensor, train: Train, run: int = 0) -> torch.nn.Module:
    """The reference's network with these parameters; dropout from the stream of `run`."""
    return reference.network(shape, train, values, torch_rng(run, "dropout"))
