"""Arm `projected`: the pooled loss with the first layer's noise integrated out.

The network sees eps ~ N(0, I) only through z = W eps + b ~ N(b, W W'). So z = b + L u is drawn
directly, L = chol(W W'), u ~ N(0, I) of the hidden width, and the gradient of W,
sum_j delta_j eps_j', is replaced by its conditional expectation given z,
(sum_j delta_j u_j') L^-1 W, since E[eps | z] = W' (W W')^-1 (z - b) = W' L^-T u.
Rao-Blackwell: unbiased, variance at most that of `pooled`, half of the normals and less GEMM.

With covariates v the first layer is W eps + V v + b: all of this holds at the mean V v + b in place
of b, as the noise does not depend on v. But draws of one data point are no draws of another: they
are not pooled, and each serves its own point.
"""

import math

import torch

from scripts.engression.models.fit import Problem
from scripts.engression.models.losses import grouped_gradient, pooled_gradient
from scripts.engression.models.network import Backprop, fill_normal, views

# Two mirrored pairs: fewer leave term2 no independent draws to compare.
FEWEST_DRAWS = 4


class ProjectedGradient:
    """Gradient of the pooled loss from `draws_per_point` draws of the first pre-activation.

    With covariates it is the gradient of the grouped loss, from as many draws of each point.
    With `antithetic` the second half of the draws of a batch is the first with its sign turned.
    The first `early_steps` steps use `early_draws` draws: there the network is almost linear in u,
    a mirrored draw tells little that is new, and the steps are few.
    Raises ValueError if the noise is narrower than the first layer, and LinAlgError if W W' is
    singular all the same.
    """

    def __init__(self, problem: Problem, gradient: torch.Tensor):
        parameters, widths, noise_dim = problem.parameters, problem.widths, problem.noise_dim
        if noise_dim < widths[1]:
            raise ValueError(
                f"projected needs noise_dim >= hidden, got {noise_dim} < {widths[1]}: "
                "use the implementation 'pooled'."
            )
        options = problem.options
        self.draws, self.noise, self.phases = options.draws_per_point, problem.noise, problem.phases
        self.early_draws = options.early_draws or self.draws
        self.early_steps, self.antithetic = options.early_steps, options.antithetic
        self.steps = self.noise_rows = 0
        layers, gradients = views(parameters, widths), views(gradient, widths)
        (weight, bias), (d_weight, d_bias) = layers[0], gradients[0]
        self.weight, self.of_given = weight[:, :noise_dim], weight[:, noise_dim:]
        self.d_weight, self.d_of_given = d_weight[:, :noise_dim], d_weight[:, noise_dim:]
        self.pools = problem.given is None
        self.gradient = gradient
        rows = max(max(self.draws, self.early_draws) * problem.train.batch, FEWEST_DRAWS)
        self.bias, self.d_bias = bias, d_bias
        width = widths[1]
        self.root, self.covariance = (parameters.new_empty(width, width) for _ in range(2))
        self.u = parameters.new_empty(rows // 2 if self.antithetic else rows, width)
        self.hidden, self.d_hidden = (parameters.new_empty(rows, width) for _ in range(2))
        self.above = Backprop(layers[1:], gradients[1:], rows)

    def __call__(
        self, x: torch.Tensor, given: torch.Tensor | None = None
    ) -> tuple[float, float, float]:
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
        # The mean of the pre-activations: one for all draws, or one (B, width) for each data point.
        mean = self.bias if given is None else torch.addmm(self.bias, given, self.of_given.t())
        y = self.above.forward(self.first_layer(u, mean, self.hidden[:rows]))
        self.phases.lap("forward")
        loss, term1, term2, d_y = self.loss(x, y)
        self.phases.lap("loss")
        self.above.backward(d_y, self.d_hidden[:rows])
        if given is not None:
            of_points = self.d_hidden[:rows].view(-1, *mean.shape).sum(0)
            torch.mm(of_points.t(), given, out=self.d_of_given)
        self.first_layer_backward(u, self.d_hidden[:rows])
        self.phases.lap("backward")
        return loss, term1, term2

    def take_root(self) -> None:
        """Fill the root L of the covariance W W' of the pre-activations."""
        torch.mm(self.weight, self.weight.t(), out=self.covariance)
        torch.linalg.cholesky(self.covariance, out=self.root)

    def loss(self, x: torch.Tensor, y: torch.Tensor) -> tuple[float, float, float, torch.Tensor]:
        """(loss, term1, term2, d loss / d y) of the batch x and all its draws y.

        With covariates, the draws are one of each data point, then another of each, and so on.
        """
        if self.pools:
            return pooled_gradient(x, y, antithetic=self.antithetic)
        of_points = y.view(-1, *x.shape).transpose(0, 1).contiguous()
        term1, term2, d_y = grouped_gradient(x, of_points, len(x), self.antithetic)
        term1, term2 = float(term1) / len(x), float(term2) / len(x)
        return term1 - 0.5 * term2, term1, term2, d_y.transpose(0, 1).reshape(y.shape)

    def first_layer(
        self, u: torch.Tensor, mean: torch.Tensor, hidden: torch.Tensor
    ) -> torch.Tensor:
        """relu(mean + L u), below it relu(mean - L u) for mirrored draws: one product for both."""
        torch.mm(u, self.root.t(), out=hidden[: len(u)])
        first = hidden[: len(u)].view(-1, *mean.shape)
        if self.antithetic:
            torch.sub(mean, first, out=hidden[len(u) :].view(-1, *mean.shape))
        first.add_(mean)
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
