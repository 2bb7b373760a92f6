"""Digits, trials and half-trained networks for the tests of the learning rules."""

import functools
from typing import Any, TypeVar

import torch

from scripts.lib.timing import Phases
from scripts.lib.typed import Model
from scripts.tep_bp.models.interface import Data, data_of
from scripts.tep_bp.models.reference.learning_rules import RULES
from scripts.tep_bp.models.reference.networks import Perceptron
from scripts.tep_bp.models.reference.trial import adam, loader, network
from scripts.tep_bp.options import Solver, Training
from scripts.tep_bp.plans.space import Trial
from tests.tep_files import read

RULE_NAMES = ["tep", "rbp", "bp"]
LOOP, HEAD = ("W_x", "b", "W"), ("W_o", "b_o")
PLAIN = Solver(omega=1.0, mu=0.0, free=20, nudged=10)
ECONOMY = Solver(omega=1.2, mu=0.2, free=8, nudged=4)
M = TypeVar("M", bound=Model)


def changed(model: M, **changes: Any) -> M:
    """The model with some of its values changed, unchecked."""
    return model.model_copy(update=changes)


SETTLED = changed(PLAIN, free=400, nudged=400)
TRAIN = Training(
    epochs=2,
    betas=[0.9, 0.999],
    adam_eps=1e-8,
    spectral_cap=0.9,
    power_steps=2,
    watch=True,
    workers=0,
    persistent=False,
    proposal="none",
    difference="centred",
)


def trial(rule: str = "tep", **changes) -> Trial:
    usual = {"hidden": 32, "batch": 64, "lr": 3e-3, "weight_decay": 1e-3, "activation": "tanh"}
    return Trial(**{"rule": rule, "trial": 0, "beta": 0.2, "seed": 11, **usual, **changes})


@functools.cache
def digits(dtype: torch.dtype = torch.float64, n: int = 300) -> Data:
    """The first n training samples, and all of validation."""
    whole = data_of(read({"kind": "digits"}, 0), ("train",), "val")
    return Data(
        whole.x[:n].to(dtype), whole.y[:n], whole.held_x.to(dtype), whole.held_y, whole.classes
    )


def batch(n: int = 64, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    """The first n training samples."""
    return digits(dtype).x[:n], digits(dtype).y[:n]


def half_trained(
    one: Trial, solver: Solver, data: Data | None = None, epochs: int = 8
) -> Perceptron:
    """The network of a trial after some epochs by `rbp` or `bp`, in the dtype of the data."""
    data = data or digits()
    net = network(one, data, PLAIN)
    optimizer, batches = adam(net, one, TRAIN), loader(data, one, TRAIN)
    learn = RULES["bp" if one.rule == "bp" else "rbp"]
    for _ in range(epochs):
        for x, y in batches:
            learn(net, x, y, one, TRAIN, Phases())
            optimizer.step()
            if one.rule != "bp":
                net.contract(0.9, 2)
    net.solver = solver
    return net


def gradients(net: Perceptron, one: Trial, x, y, **changes) -> dict[str, torch.Tensor]:
    """What the rule of a trial leaves in `.grad`."""
    RULES[one.rule](net, x, y, one, changed(TRAIN, **changes), Phases())
    return {name: p.grad.clone() for name, p in net.named_parameters()}


def relative(found: dict, expected: dict, names: tuple[str, ...]) -> float:
    """Norm of the difference of these gradients over the norm of the expected ones."""
    a, b = (torch.cat([which[name].flatten() for name in names]) for which in (found, expected))
    return ((a - b).norm() / b.norm()).item()
