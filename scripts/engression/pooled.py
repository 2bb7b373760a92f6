"""Arms `pooled*`: every draw of a batch serves every data point, so a few draws per point do.

Same population loss and unbiased gradient as the reference, another Monte Carlo estimator
(spec 6.2, 6.3): level `equivalent`, never the same numbers.
"""

import torch

from scripts.engression.losses import pooled_gradient
from scripts.engression.network import Backprop, views
from scripts.lib.timing import Phases


class PooledGradient:
    """Gradient of the pooled loss with `draws_per_point` draws of N(0, I) noise per data point."""

    def __init__(
        self,
        parameters: torch.Tensor,
        gradient: torch.Tensor,
        widths: list[int],
        train: dict,
        noise: torch.Generator,
        phases: Phases,
    ):
        self.draws, self.noise, self.phases = train["draws_per_point"], noise, phases
        self.noise_rows = 0
        self.gradient = gradient
        rows = self.draws * train["batch"]
        self.eps = parameters.new_empty(rows, widths[0])
        self.network = Backprop(views(parameters, widths), views(gradient, widths), rows)

    def __call__(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        self.gradient.zero_()
        eps = self.eps[: len(x) * self.draws]
        self.noise_rows += len(eps)
        self.phases.lap("data")
        eps.normal_(generator=self.noise)
        self.phases.lap("noise")
        y = self.network.forward(eps)
        self.phases.lap("forward")
        loss, term1, term2, d_y = pooled_gradient(x, y)
        self.phases.lap("loss")
        self.network.backward(d_y)
        self.phases.lap("backward")
        return loss, term1, term2
