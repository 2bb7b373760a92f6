"""Arms `pooled*`: every draw of a batch serves every data point, so a few draws per point do.

Same population loss and unbiased gradient as the reference, another Monte Carlo estimator
(docs/studies/engression.md, Loss): level `equivalent`, never the same numbers.
"""

import torch

from scripts.engression.models.fit import Problem
from scripts.engression.models.losses import pooled_gradient
from scripts.engression.models.network import Backprop, fill_normal, views


class PooledGradient:
    """Gradient of the pooled loss with `draws_per_point` draws of N(0, I) noise per data point."""

    def __init__(self, problem: Problem, gradient: torch.Tensor):
        parameters, widths = problem.parameters, problem.widths
        if problem.given is not None:
            raise ValueError("pooled shares draws between data points; with covariates none may.")
        self.draws = problem.options.draws_per_point
        self.noise, self.phases = problem.noise, problem.phases
        self.noise_rows = 0
        self.gradient = gradient
        rows = self.draws * problem.train.batch
        self.eps = parameters.new_empty(rows, widths[0])
        self.network = Backprop(views(parameters, widths), views(gradient, widths), rows)

    def __call__(self, x: torch.Tensor) -> tuple[float, float, float]:
        self.gradient.zero_()
        eps = self.eps[: len(x) * self.draws]
        self.noise_rows += len(eps)
        self.phases.lap("data")
        fill_normal(eps, self.noise)
        self.phases.lap("noise")
        y = self.network.forward(eps)
        self.phases.lap("forward")
        loss, term1, term2, d_y = pooled_gradient(x, y)
        self.phases.lap("loss")
        self.network.backward(d_y)
        self.phases.lap("backward")
        return loss, term1, term2
