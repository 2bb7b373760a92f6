"""Arm `projected`: the pooled loss with the first layer's noise integrated out.

The network sees eps ~ N(0, I) only through z = W eps + b ~ N(b, W W'). So z = b + L u is drawn
directly, L = chol(W W'), u ~ N(0, I) of the hidden width, and the gradient of W,
sum_j delta_j eps_j', is replaced by its conditional expectation given z,
(sum_j delta_j u_j') L^-1 W, since E[eps | z] = W' (W W')^-1 (z - b) = W' L^-T u.
Rao-Blackwell: unbiased, variance at most that of `pooled`, half of the normals and less GEMM.
"""

import math

import torch

from scripts.engression.models.fit import Problem
from scripts.engression.models.losses import pooled_gradient
from scripts.engression.models.network import Backprop, views

# Two mirrored pairs: fewer leave term2 no independent draws to compare.
FEWEST_DRAWS = 4


class ProjectedGradient:
    """Gradient of the pooled loss from `draws_per_point` draws of the first pre-activation.

    With `antithetic` the second half of the draws of a batch is the first with its sign turned.
    The first `early_steps` steps use `early_draws` draws: there the network is almost linear in u,
    a mirrored draw tells little that is new, and the steps are few.
    Raises ValueError if the noise is narrower than the first layer, and LinAlgError if W W' is
    singular all the same.
    """

    def __init__(self, problem: Problem, gradient: torch.Tensor):
        parameters, widths = problem.parameters, problem.widths
        if widths[0] < widths[1]:
            raise ValueError(
                f"projected needs noise_dim >= hidden, got {widths[0]} < {widths[1]}: "
                "use the implementation 'pooled'."
            )
        options = problem.options
        self.draws, self.noise, self.phases = options.draws_per_point, problem.noise, problem.phases
        self.early_draws = options.early_draws or self.draws
        self.early_steps, self.antithetic = options.early_steps, options.antithetic
        self.steps = self.noise_rows = 0
        layers, gradients = views(parameters, widths), views(gradient, widths)
        (self.weight, bias), (self.d_weight, d_bias) = layers[0], gradients[0]
        self.gradient = gradient
        rows = max(max(self.draws, self.early_draws) * problem.train.batch, FEWEST_DRAWS)
        width = widths[1]
        self.root = parameters.new_empty(width, width)
        self.d_root = parameters.new_empty(width, width)
        self.u = parameters.new_empty(rows, width)
        self.network = Backprop(
            [(self.root, bias), *layers[1:]], [(self.d_root, d_bias), *gradients[1:]], rows
        )

    def __call__(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        self.gradient.zero_()
        self.d_root.zero_()
        draws = self.early_draws if self.steps < self.early_steps else self.draws
        u = self.u[: max(len(x) * draws, FEWEST_DRAWS)]
        self.steps, self.noise_rows = self.steps + 1, self.noise_rows + len(u)
        self.phases.lap("data")
        if self.antithetic:
            first, second = u.chunk(2)
            torch.neg(first.normal_(generator=self.noise), out=second)
        else:
            u.normal_(generator=self.noise)
        self.phases.lap("noise")
        covariance = self.weight @ self.weight.t()
        try:
            torch.linalg.cholesky(covariance, out=self.root)
        except torch.linalg.LinAlgError:
            if covariance.isfinite().all():
                raise
            return (x.new_full((), math.nan),) * 3  # the training has diverged
        y = self.network.forward(u)
        self.phases.lap("forward")
        loss, term1, term2, d_y = pooled_gradient(x, y, antithetic=self.antithetic)
        self.phases.lap("loss")
        self.network.backward(d_y)
        solved = torch.linalg.solve_triangular(self.root, self.d_root, upper=False, left=False)
        torch.mm(solved, self.weight, out=self.d_weight)
        self.phases.lap("backward")
        return loss, term1, term2
