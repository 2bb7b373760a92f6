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
from scripts.engression.models.network import Backprop, fill_normal, views

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
        self.bias, self.d_bias = bias, d_bias
        width = widths[1]
        self.root, self.covariance = (parameters.new_empty(width, width) for _ in range(2))
        self.u = parameters.new_empty(rows // 2 if self.antithetic else rows, width)
        self.hidden, self.d_hidden = (parameters.new_empty(rows, width) for _ in range(2))
        self.above = Backprop(layers[1:], gradients[1:], rows)

    def __call__(self, x: torch.Tensor) -> tuple[float, float, float]:
        self.gradient.zero_()
        draws = self.early_draws if self.steps < self.early_steps else self.draws
        rows = max(len(x) * draws, FEWEST_DRAWS)
        self.steps, self.noise_rows = self.steps + 1, self.noise_rows + rows
        self.phases.lap("data")
        u = fill_normal(self.u[: rows // 2 if self.antithetic else rows], self.noise)
        self.phases.lap("noise")
        try:
            self.take_root()
        except torch.linalg.LinAlgError:
            if self.covariance.isfinite().all():
                raise
            return (math.nan,) * 3  # the training has diverged
        y = self.above.forward(self.first_layer(u, self.hidden[:rows]))
        self.phases.lap("forward")
        loss, term1, term2, d_y = self.loss(x, y)
        self.phases.lap("loss")
        self.above.backward(d_y, self.d_hidden[:rows])
        self.first_layer_backward(u, self.d_hidden[:rows])
        self.phases.lap("backward")
        return loss, term1, term2

    def take_root(self) -> None:
        """Fill the root L of the covariance W W' of the pre-activations."""
        torch.mm(self.weight, self.weight.t(), out=self.covariance)
        torch.linalg.cholesky(self.covariance, out=self.root)

    def loss(self, x: torch.Tensor, y: torch.Tensor) -> tuple[float, float, float, torch.Tensor]:
        """(loss, term1, term2, d loss / d y) of the batch x and all its draws y."""
        return pooled_gradient(x, y, antithetic=self.antithetic)

    def first_layer(self, u: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        """relu(b + L u), below it relu(b - L u) for mirrored draws: one product for both."""
        first = torch.mm(u, self.root.t(), out=hidden[: len(u)])
        if self.antithetic:
            torch.sub(self.bias, first, out=hidden[len(u) :])
        first.add_(self.bias)
        return hidden.relu_()

    def first_layer_backward(self, u: torch.Tensor, delta: torch.Tensor) -> None:
        """Gradients of W and b from those of the pre-activations, delta."""
        torch.sum(delta, 0, out=self.d_bias)
        if self.antithetic:
            first, second = delta.chunk(2)
            delta = first.sub_(second)
        d_root = torch.mm(delta.t(), u)
        solved = torch.linalg.solve_triangular(self.root, d_root, upper=False, left=False)
        torch.mm(solved, self.weight, out=self.d_weight)
