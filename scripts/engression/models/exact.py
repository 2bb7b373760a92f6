"""Arm `exact`: the original's estimator and draws, with closed-form gradients and no autograd."""

import torch

from scripts.engression.models.fit import Problem
from scripts.engression.models.losses import grouped_gradient
from scripts.engression.models.network import Backprop, fill_normal, inputs, views

# 25 data points x 50 draws: the noise and activations of a chunk stay in the L2 cache.
ROWS_PER_CHUNK = 1250


class GroupedGradient:
    """Gradient of the grouped loss: `m` fresh draws for every data point, point by point.

    Noise comes from `noise` in the order (data point, draw, coordinate), so the reference sees
    the same numbers; the chunks change neither the draws nor the estimator.
    """

    def __init__(self, problem: Problem, gradient: torch.Tensor):
        parameters, widths, width = problem.parameters, problem.widths, problem.noise_dim
        self.m, batch = problem.train.m, problem.train.batch
        self.noise, self.phases = problem.noise, problem.phases
        self.noise_rows = 0
        self.gradient = gradient
        # PyTorch draws 16 numbers at once: only chunks of whole sixteens give the same noise.
        divisible = self.m * width % 16 == 0
        points = ROWS_PER_CHUNK // self.m if divisible else batch
        self.points = max(1, min(batch, points))
        rows = self.points * self.m
        self.eps = parameters.new_empty(rows, width)
        self.network = Backprop(views(parameters, widths), views(gradient, widths), rows)

    def __call__(
        self, x: torch.Tensor, given: torch.Tensor | None = None
    ) -> tuple[float, float, float]:
        self.gradient.zero_()
        batch = x.shape[0]
        self.noise_rows += batch * self.m
        term1 = term2 = 0.0
        for at in range(0, batch, self.points):
            part = x[at : at + self.points]
            eps = self.eps[: len(part) * self.m]
            self.phases.lap("data")
            fill_normal(eps, self.noise)
            self.phases.lap("noise")
            behind = None if given is None else given[at : at + self.points]
            y = self.network.forward(inputs(eps, behind)).view(len(part), self.m, *x.shape[1:])
            self.phases.lap("forward")
            part1, part2, d_y = grouped_gradient(part, y, batch)
            self.phases.lap("loss")
            self.network.backward(d_y.view(len(eps), -1))
            self.phases.lap("backward")
            term1, term2 = term1 + float(part1) / batch, term2 + float(part2) / batch
        return term1 - 0.5 * term2, term1, term2
