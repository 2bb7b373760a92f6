"""Wrong on purpose: twins of `projected` with a bug each, for the arms with the role `control`.

They must fail the test that the result arm passes, which shows that it could have failed
(docs/studies/engression.md, Controls).
"""

import torch

from scripts.engression.models.losses import directions
from scripts.engression.models.projected import ProjectedGradient


class SpreadTwice(ProjectedGradient):
    """Wrong: term2 without its factor 1/2. Of loss = term1 - term2 no finite spread is best."""

    def loss(self, x: torch.Tensor, y: torch.Tensor) -> tuple[float, float, float, torch.Tensor]:
        right, term1, term2, gradient = super().loss(x, y)
        # The right gradient is that of term1 less half of that of term2.
        of_term1 = directions(y.unsqueeze(1) - x, x.ndim == 2).mean(1).div_(len(y))
        return right - 0.5 * term2, term1, term2, gradient.mul_(2).sub_(of_term1)


class UnitNoise(ProjectedGradient):
    """Wrong: z = b + u in place of b + L u, so that W does not reach the draws."""

    def take_root(self) -> None:
        self.root.copy_(torch.eye(len(self.root), dtype=self.root.dtype))
