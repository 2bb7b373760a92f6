"""Fits on the streams of the study, and how two of them are compared."""

from typing import Any

import numpy as np
import pytest
import torch

from scripts.engression.models.fit import Fit, Problem
from scripts.engression.models.network import initial, layer_widths
from scripts.engression.settings import Options, Train
from scripts.lib.config import read_settings
from scripts.lib.implementations import stack_of
from scripts.lib.own_study import Unit
from scripts.lib.timing import Phases
from scripts.lib.typed import Model
from scripts.spine.jobs import Jobs
from scripts.spine.section import two_stage_section
from scripts.spine.train import train_unit
from scripts.spine.two_stage import two_stage
from tests.rule_files import shipped

STUDY = two_stage("engression")
CONFIG = read_settings(two_stage_section(STUDY), shipped()["engression"], "engression")
JOBS = Jobs(STUDY, CONFIG, 42)
NET, WIDTHS = CONFIG.net, layer_widths(CONFIG.net)
BOTH = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
# Other packages train in their own ways (tests/test_peers.py).
PEERS = CONFIG.with_role("peer")
TRAINERS = pytest.mark.parametrize(
    "trainer", [name for name in STUDY.implementations if name not in PEERS]
)
ARMS = pytest.mark.parametrize("arm", [name for name in CONFIG.arms if name not in PEERS])
# Two antithetic draws, where an implementation asks for that.
OPTIONS = {"draws_per_point": 2, "antithetic": True}


def changed(model: Model, changes: dict[str, Any]) -> Model:
    """A model with those of the changes that are its fields."""
    own = {name: value for name, value in changes.items() if name in type(model).model_fields}
    return model.model_copy(update=own)


def unit_of(law: str, n: int, rep: int, **changes: Any) -> Unit:
    """A unit with its sample; `changes` are of the network, training, evaluation or options."""
    settings = STUDY.settings(
        net=changed(NET, changes),
        train=changed(CONFIG.train, changes),
        eval=changed(CONFIG.eval, changes),
    )
    labels = {"law": law, "n": n, "rep": rep}
    unit = Unit("engression", 42, labels, settings, changed(Options(**OPTIONS), changes))
    unit.data.update(STUDY.module.data(unit))
    return unit


def simulate(law: str, n: int, rep: int) -> np.ndarray:
    """The sample of a unit, float32 of shape (n,)."""
    return unit_of(law, n, rep).data["x"]


def trained(trainer: str, n: int, dtype: torch.dtype, law: str = "normal", **changes: Any) -> Fit:
    """A fit on the sample and the streams of the unit (law, n, 0)."""
    unit = unit_of(law, n, 0, **changes)
    unit.data["x"] = torch.from_numpy(unit.data["x"]).to(dtype).numpy()
    return answer(trainer, unit)


def answer(trainer: str, unit: Unit) -> Fit:
    """What an implementation returns for a unit, by itself or as a stack of one."""
    function = STUDY.implementations[trainer]
    return function([unit])[0] if stack_of(function) else function(unit)


def problem(flat: torch.Tensor, noise: torch.Generator, train: Train, options: Options) -> Problem:
    """What an estimator works on, at these parameters."""
    return Problem(flat, flat, WIDTHS, train, options, noise, noise, Phases())


def unit_row(arm: str, labels: list, x: np.ndarray | None = None, **changes: Any) -> dict:
    """The result of one unit of an arm with few epochs and few test draws."""
    job = JOBS.timed(arm, next(iter(CONFIG.measure.workloads.values())))
    few = {"max_epochs": 3, "test_draws": 500} | changes
    settings = unit_of("normal", 4, 0, **few).settings.model_dump(exclude=set(STUDY.module.LOADED))
    options = changed(CONFIG.arms[arm].options, changes).model_dump()
    job = job.model_copy(update={"settings": settings, "options": options})
    return train_unit(STUDY, job, labels, {"x": simulate(*labels) if x is None else x})


def largest_difference(a, b):
    return float((a.double() - b.double()).abs().max())


def losses(fitted):
    return torch.tensor([values[0] for values in fitted.history], dtype=torch.float64)


def grouped_loss(x, y):
    """The loss of the grouped draws for x (B,) and y (B, m) by its pair tensor."""
    m = y.shape[1]
    pairs = (y.unsqueeze(2) - y.unsqueeze(1)).abs().sum() / (len(x) * m * (m - 1))
    return (x.unsqueeze(1) - y).abs().mean() - pairs / 2


def start_of(law: str, n: int, rep: int, dtype: torch.dtype) -> torch.Tensor:
    """Initial weights of a unit."""
    return initial(WIDTHS, unit_of(law, n, rep).torch_rng("init"), dtype)
