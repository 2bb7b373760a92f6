"""The estimator of arm `projected` for a stack of units at once, without covariates.

Parameters and gradients are (U, P), a row a unit; every product is a batch of products, a unit's
own each, so that its numbers depend on the units beside it by rounding at most.
"""

import torch

from scripts.engression.models.losses import stacked_pooled_gradient
from scripts.engression.models.network import views
from scripts.engression.models.projected import FEWEST_DRAWS
from scripts.engression.settings import Options
from scripts.lib.counter_rng import CounterRng
from scripts.lib.timing import Phases

NOISE, SHUFFLE = 1, 2  # purposes of the draws of a step and of an epoch


def layers_of(flat: torch.Tensor, widths: list[int]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Weight (U, out, in) and bias (U, 1, out) of each layer as views of the parameters (U, P)."""
    found = []
    for weight, bias in views(flat[0], widths):
        start = weight.storage_offset() - flat[0].storage_offset()
        size, outputs = weight.numel(), len(bias)
        part = flat[:, start : start + size].unflatten(1, weight.shape)
        found.append((part, flat[:, start + size : start + size + outputs].unsqueeze(1)))
    return found


class StackedGradient:
    """Gradient of the pooled loss of each unit, from draws of its first pre-activation.

    `antithetic` as in ProjectedGradient. A call takes a batch x (U, B), or (U, B, d), the draws
    per point and the number of the step, an int64 tensor (1, 1) on the device, and fills
    `gradient`; it returns loss, term1, term2 (U, 3). A unit whose W W' has no root, though it is
    finite, is `singular` from then on, and its losses are no numbers.
    """

    def __init__(
        self, parameters: torch.Tensor, gradient: torch.Tensor, widths: list[int],
        options: Options, draws: CounterRng, phases: Phases | None,
    ):  # fmt: skip
        self.layers, self.gradients = layers_of(parameters, widths), layers_of(gradient, widths)
        self.antithetic, self.rng = options.antithetic, draws
        self.lap = phases.lap if phases else lambda name: None
        self.singular = torch.zeros(len(parameters), dtype=torch.bool, device=parameters.device)

    def __call__(self, x: torch.Tensor, draws: int, step: torch.Tensor) -> torch.Tensor:
        self.lap("data")
        u = self.draw(rows_of(x.shape[1], draws), step)
        self.lap("noise")
        inputs = self.forward(u)
        y = inputs.pop()
        self.lap("forward")
        made = y if x.ndim == 3 else y.squeeze(2)
        values, delta = stacked_pooled_gradient(x, made, self.antithetic)
        self.lap("loss")
        self.backward(u, inputs, delta.view(y.shape))
        self.lap("backward")
        return values

    def draw(self, rows: int, step: torch.Tensor) -> torch.Tensor:
        """Noise u (U, rows, width) of the step, half of the rows if they are mirrored."""
        width, count = self.layers[0][0].shape[1], rows // 2 if self.antithetic else rows
        drawn = self.rng.normals(step, NOISE, count * width)
        return drawn.view(-1, count, width).to(self.layers[0][0].dtype)

    def root(self) -> torch.Tensor:
        """The roots L (U, width, width) of the covariances W W'; NaN where there is none."""
        weight = self.layers[0][0]
        covariance = torch.bmm(weight, weight.mT)
        root, info = torch.linalg.cholesky_ex(covariance)
        absent = info > 0
        self.singular |= absent & covariance.isfinite().all(2).all(1)
        return root.masked_fill_(absent.view(-1, 1, 1), torch.nan)

    def forward(self, u: torch.Tensor) -> list[torch.Tensor]:
        """What each layer above the first is given (U, rows, in), and the outputs at the end."""
        bias, self.lower = self.layers[0][1], self.root()
        first = torch.bmm(u, self.lower.mT)
        if self.antithetic:
            both = first.new_empty(len(u), 2, *u.shape[1:])
            torch.sub(bias, first, out=both[:, 1])
            torch.add(bias, first, out=both[:, 0])
            first = both.flatten(1, 2)
        else:
            first += bias
        found = [first.relu_()]
        for layer in self.layers[1:-1]:
            found.append(affine(found[-1], *layer).relu_())
        return [*found, affine(found[-1], *self.layers[-1])]

    def backward(self, u: torch.Tensor, inputs: list[torch.Tensor], delta: torch.Tensor) -> None:
        """Fill the gradient, from the draws, the inputs of the layers and d loss / d output."""
        for given, layer, gradients in zip(
            reversed(inputs), reversed(self.layers[1:]), reversed(self.gradients[1:]), strict=True
        ):
            gradients[0].copy_(crossed(delta, given))
            torch.sum(delta, 1, keepdim=True, out=gradients[1])
            below = torch.bmm(delta, layer[0])
            # relu'(0) = 0, as autograd has it
            delta = torch.ops.aten.threshold_backward.grad_input(below, given, 0, grad_input=below)
        torch.sum(delta, 1, keepdim=True, out=self.gradients[0][1])
        if self.antithetic:
            first, second = delta.chunk(2, 1)
            delta = first - second
        of_root = torch.bmm(delta.mT, u)
        solved = torch.linalg.solve_triangular(self.lower, of_root, upper=False, left=False)
        self.gradients[0][0].copy_(torch.bmm(solved, self.layers[0][0]))


def affine(inputs: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """inputs W' + b of each unit, (U, rows, out).

    A single column is taken twice: the library has another way for it where the unit is alone.
    """
    outputs = weight.shape[1]
    columns = weight if outputs > 1 else weight.expand(-1, 2, -1)
    return torch.baddbmm(bias, inputs, columns.mT)[..., :outputs]


def crossed(delta: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
    """delta' inputs of each unit, (U, out, in); of a single column as in `affine`."""
    outputs = delta.shape[2]
    columns = delta if outputs > 1 else delta.expand(-1, -1, 2)
    return torch.bmm(columns.mT, inputs)[:, :outputs]


def rows_of(points: int, draws: int) -> int:
    """Generated values of a step with so many data points and draws for each."""
    return max(points * draws, FEWEST_DRAWS)
