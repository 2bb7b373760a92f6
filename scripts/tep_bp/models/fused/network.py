"""The parameters and buffers of one trial, as the compiled steps take them."""

import math

import numpy as np
import torch

from scripts.tep_bp.models.fused.lanes import LANES
from scripts.tep_bp.models.fused.loop import RELU, TANH
from scripts.tep_bp.models.fused.steps import (
    ADJOINT,
    NUDGES,
    PERCEPTRON,
    gather,
    read,
    settle,
    teach,
    views,
)
from scripts.tep_bp.models.fused.update import improve
from scripts.tep_bp.models.interface import Data, initial
from scripts.tep_bp.plans.space import Trial
from scripts.tep_bp.settings import Solver, Training

KINDS = {"bp": PERCEPTRON, "rbp": ADJOINT, "tep": NUDGES}
ACTIVATIONS = {"relu": RELU, "tanh": TANH}
# The compiled steps take numbers.
NO_LOOP = Solver.model_construct(omega=1.0, mu=0.0, free=0, nudged=0)


def eights(n: int) -> int:
    """The next multiple of 8."""
    return math.ceil(n / 8) * 8


class Samples:
    """Room for n samples as `lines` (T, LANES, D') and `tiles` (T, D', LANES), and their states."""

    def __init__(self, x: np.ndarray, hidden: int, n: int):
        tiles, inputs = math.ceil(n / LANES), eights(x.shape[1])
        self.x, self.n = np.ascontiguousarray(x), n
        self.lines = np.zeros((tiles, LANES, inputs), np.float32)
        self.tiles = np.zeros((tiles, inputs, LANES), np.float32)
        self.driven, self.h = np.zeros((2, tiles, hidden, LANES), np.float32)

    def gather(self, chosen: np.ndarray) -> None:
        gather(self.x, chosen, self.lines, self.tiles)


class Network:
    """One trial: float32 parameters in one array, its gradient, and Adam's moments."""

    def __init__(self, data: Data, trial: Trial, train: Training, solver: Solver):
        inputs, d = data.x.shape[1], trial.hidden
        self.trial, self.train = trial, train
        recurrent, columns = trial.rule != "bp", eights(data.classes)
        self.shape = (eights(inputs), d, columns, data.classes, recurrent)
        size = d * (eights(inputs) + recurrent * d + columns + 1) + columns
        self.flat, self.found, self.m, self.v = np.zeros((4, size), np.float32)
        start = initial(trial, inputs, data.classes)
        w_x, w, w_o, _, _ = views.py_func(self.flat, self.shape)
        w_x[:, :inputs] = start["W_x"].T
        w_o[:, : data.classes] = start["W_o"]
        w[:] = start["W"][: len(w)]
        self.u, self.count = start["u"].float().numpy(), 0
        self.activation = ACTIVATIONS[trial.activation]
        solver = solver if recurrent else NO_LOOP
        omega, mu = solver.omega, solver.mu
        self.ball = tuple(map(np.float32, (omega, 1 - omega + mu, mu)))
        self.free, self.nudged = solver.free, solver.nudged

    def parameters(self, inputs: int) -> dict[str, torch.Tensor]:
        """Copies in the shapes and order of `initial`."""
        w_x, w, w_o, b, b_o = views.py_func(self.flat, self.shape)
        classes = self.shape[3]
        own = {"W_x": w_x.T[:inputs], "b": b, "W": w, "W_o": w_o[:, :classes], "b_o": b_o[:classes]}
        return {
            name: torch.from_numpy(value.copy(order="C"))
            for name, value in own.items()
            if value.size
        }

    def settle(self, samples: Samples) -> None:
        """The free phase."""
        settle(
            self.flat, self.shape, samples.tiles, self.activation, self.free, self.ball,
            samples.driven, samples.h,
        )  # fmt: skip

    def teach(self, samples: Samples, y: np.ndarray) -> tuple[np.ndarray, ...]:
        """What the errors at the free states move: error, moved and centre of `steps.teach`."""
        shape = (len(samples.h), self.shape[3], LANES)
        error = np.empty(shape, np.float32)
        moved, centre = np.empty((2, *samples.h.shape), np.float32)
        teach(
            self.flat, self.shape, KINDS[self.trial.rule], samples.driven, samples.h, y,
            np.float32(self.trial.beta), self.activation, self.nudged, self.ball,
            error, moved, centre,
        )  # fmt: skip
        return error, moved, centre

    def update(self, samples: Samples, error, moved, centre) -> None:
        """Gradient, Adam, and the cap of the recurrent weights."""
        n, trial, train = samples.n, self.trial, self.train
        scale = -1 / (2 * n * trial.beta) if trial.rule == "tep" else 1 / n
        self.count += 1
        one, two = train.betas
        rise, fall = 1 - one**self.count, 1 - two**self.count
        rates = (trial.lr / rise, 1 - one, two, 1 - two, 1 / math.sqrt(fall), train.adam_eps)
        improve(
            self.flat, self.shape, samples.lines, samples.h, error, moved, centre, scale, n,
            self.found, self.m, self.v, rates, trial.lr * trial.weight_decay,
            self.u, train.spectral_cap, train.power_steps,
        )  # fmt: skip

    def logits(self, samples: Samples) -> np.ndarray:
        """(n, C) of settled samples."""
        out = np.empty((len(samples.h), self.shape[3], LANES), np.float32)
        read(self.flat, self.shape, samples.h, out)
        return out.transpose(0, 2, 1).reshape(-1, self.shape[3])[: samples.n]
