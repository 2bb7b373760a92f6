"""One trial while it is trained: its network, Adam's moments, and the compiled steps on them."""

import math

import numpy as np
import torch

from scripts.tep_bp.models.fused import network, phases
from scripts.tep_bp.models.fused.arithmetic import LANES
from scripts.tep_bp.models.fused.network import HeavyBall, Parameters, Samples, Shape, fours, zeros
from scripts.tep_bp.models.fused.update import Rates, improve
from scripts.tep_bp.models.interface import Data, initial
from scripts.tep_bp.options import Solver, Training
from scripts.tep_bp.plans.space import Trial

NO_LOOP = Solver(omega=1.0, mu=0.0, free=1, nudged=1)  # of bp: one image


class Learner:
    """A trial's parameters `flat`, `gradient` of the last update, buffers for batches."""

    def __init__(self, data: Data, trial: Trial, train: Training, solver: Solver | None):
        self.trial, self.train, self.steps, self.buffers = trial, train, 0, {}
        inputs, d, classes = data.x.shape[1], trial.hidden, data.classes
        recurrent = trial.rule != "bp"
        self.inputs, self.shape = inputs, Shape(fours(inputs), d, classes, recurrent)
        size = network.n_numbers(self.shape)
        self.flat, self.gradient, self.m, self.v = (zeros(size) for _ in range(4))
        start, net = initial(trial, inputs, classes, train.rerounded), self.views(self.flat)
        net.W_x[:, :inputs], net.W_o[:] = start["W_x"].T, start["W_o"].T
        net.W[:] = start["W"][: len(net.W)]
        self.u = start["u"].float().numpy()
        self.activation = phases.TANH if trial.activation == "tanh" else phases.RELU
        self.solver = self.iterations(solver if recurrent else NO_LOOP)
        self.buffer = zeros(5, fours(d + classes), LANES)

    @staticmethod
    def iterations(solver: Solver) -> HeavyBall:
        """The solver as the compiled steps take it."""
        omega, mu = solver.omega, solver.mu
        return HeavyBall(omega, 1 - omega + mu, mu, solver.free, solver.nudged)

    def views(self, flat: np.ndarray) -> Parameters:
        """Of the parameters, or of what has their layout."""
        return network.parameters.py_func(flat, self.shape)

    def parameters(self, flat: np.ndarray | None = None) -> dict[str, torch.Tensor]:
        """Copies in the shapes and order of `initial`, of the parameters or another array."""
        net = self.views(self.flat if flat is None else flat)
        w_x, w_o = net.W_x.T[: self.inputs], net.W_o.T
        own = {"W_x": w_x, "b": net.b, "W": net.W, "W_o": w_o, "b_o": net.b_o}
        return {k: torch.from_numpy(v.copy(order="C")) for k, v in own.items() if v.size}

    def gather(self, x: np.ndarray, y: np.ndarray, chosen: np.ndarray) -> Samples:
        """The chosen rows of x (N, D) and y (N,), until as many are gathered again."""
        n = len(chosen)
        if n not in self.buffers:
            self.buffers[n] = network.samples(n, self.shape)
        phases.gather(x, y, chosen, self.buffers[n])
        return self.buffers[n]

    def settle(self, samples: Samples) -> None:
        """The free phase."""
        phases.free_phase(self.flat, self.shape, samples, self.activation, self.solver, self.buffer)

    def teach(self, samples: Samples) -> None:
        """The nudged phases, or the adjoint one of rbp and bp."""
        given = self.flat, self.shape, samples, self.activation, self.solver
        if self.trial.rule == "tep":
            phases.nudged_phase(*given, np.float32(self.trial.beta), self.buffer)
        else:
            phases.adjoint_phase(*given, self.buffer)

    def update(self, samples: Samples, n: int) -> None:
        """Gradient of n samples, Adam, and the cap of the recurrent weights."""
        trial, train = self.trial, self.train
        self.steps += 1
        one, two = train.betas
        rise, fall = 1 - one**self.steps, 1 - two**self.steps
        scale = -1 / (2 * n * trial.beta) if trial.rule == "tep" else 1 / n
        adam = trial.lr / rise, 1 - one, two, 1 - two, 1 / math.sqrt(fall), train.adam_eps
        others = 1 - trial.lr * trial.weight_decay, scale, 1 / n, train.spectral_cap
        rates = Rates(*adam, *others, train.power_steps)
        improve(self.flat, self.gradient, self.m, self.v, self.u, self.shape, samples, rates)

    def logits(self, samples: Samples, n: int) -> np.ndarray:
        """(n, C) of settled samples."""
        net, h = self.views(self.flat), samples.states[network.FREE]
        return h.transpose(0, 2, 1).reshape(-1, self.shape.hidden)[:n] @ net.W_o.T + net.b_o
