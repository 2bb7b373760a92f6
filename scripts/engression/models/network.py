"""The generator g, a ReLU network held as one flat vector with a view per layer.

It maps noise, with the covariates behind it if there are any, to one number or several.
"""

import itertools
import math

import torch

from scripts.engression.settings import Net

# A multiple of 16, so that the noise does not depend on the parts it is drawn in.
ROWS_PER_SAMPLE = 1024


def layer_widths(net: Net, covariates: int = 0, outputs: int = 1) -> list[int]:
    """Widths from the noise and covariates to the output, e.g. [128, 64, 64, 64, 1]."""
    return [net.noise_dim + covariates, *[net.hidden] * net.hidden_layers, outputs]


def views(flat: torch.Tensor, widths: list[int]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """(weight (out, in), bias (out,)) of each layer as views of `flat`, in `nn.Linear` order."""
    layers, start = [], 0
    for fan_in, fan_out in itertools.pairwise(widths):
        weight = flat[start : start + fan_out * fan_in].view(fan_out, fan_in)
        start += fan_out * fan_in
        layers.append((weight, flat[start : start + fan_out]))
        start += fan_out
    return layers


def parameter_count(widths: list[int]) -> int:
    """Number of weights and biases: 16,641 for the study's network."""
    return sum((i + 1) * o for i, o in itertools.pairwise(widths))


def initial(widths: list[int], rng: torch.Generator, dtype=torch.float32) -> torch.Tensor:
    """Flat start vector, all U(-1/sqrt(fan_in), 1/sqrt(fan_in)): PyTorch's Linear default.

    Drawn in float32 whatever the dtype, as the noise is: the truth has the reference's numbers.
    """
    flat = torch.empty(parameter_count(widths), dtype=torch.float32)
    for weight, bias in views(flat, widths):
        bound = 1 / math.sqrt(weight.shape[1])
        weight.uniform_(-bound, bound, generator=rng)
        bias.uniform_(-bound, bound, generator=rng)
    return flat.to(dtype)


def fill_normal(out: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """`out` filled with N(0, 1), drawn in float32 whatever its dtype."""
    if out.dtype == torch.float32:
        return out.normal_(generator=rng)
    return out.copy_(torch.empty(out.shape, dtype=torch.float32).normal_(generator=rng))


def inputs(noise: torch.Tensor, given: torch.Tensor | None) -> torch.Tensor:
    """Rows of noise (b m, k) with the covariates (b, p) of their data point behind them, if any."""
    if given is None:
        return noise
    return torch.cat([noise, given.repeat_interleave(len(noise) // len(given), 0)], 1)


def sample(flat: torch.Tensor, widths: list[int], count: int, rng: torch.Generator) -> torch.Tensor:
    """`count` generated values, (count,) or (count, d), from fresh N(0, I) noise of `rng`.

    In parts that stay in the cache; from 16 numbers on, the noise is as if drawn at once.
    """
    rows = min(count, ROWS_PER_SAMPLE)
    network = Backprop(views(flat, widths), [], rows)
    noise = flat.new_empty(rows, widths[0])
    values = flat.new_empty(count, widths[-1]).squeeze(1)
    for part in values.split(rows):
        part.copy_(network.forward(fill_normal(noise[: len(part)], rng)))
    return values


class Backprop:
    """Forward and backward pass through ReLU layers in buffers allocated once (no autograd).

    `layers` and `gradients` are (weight (out, in), bias (out,)) pairs. `forward(inputs)` maps
    (rows, in) to outputs (rows,), or (rows, d) of several; `backward(d_output)` adds the
    gradient of sum(d_output * output) to `gradients`, and fills `d_inputs` with the gradient of
    what the ReLU that made the inputs was given. Rows may not exceed `max_rows`.
    """

    def __init__(self, layers: list, gradients: list, max_rows: int):
        self.layers, self.gradients = layers, gradients
        self.transposed = [weight.t() for weight, _ in layers]
        like = layers[0][0]
        hidden = [bias.shape[0] for _, bias in layers[:-1]]
        self.hidden = [like.new_empty(max_rows, width) for width in hidden]
        self.deltas = [like.new_empty(max_rows, width) for width in hidden]
        self.output = like.new_empty(max_rows, len(layers[-1][1]))
        self.ones = like.new_ones(max_rows)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        rows = inputs.shape[0]
        self.inputs = [inputs]
        for i, out in enumerate(self.hidden):
            bias, weight_t = self.layers[i][1], self.transposed[i]
            self.inputs.append(torch.addmm(bias, self.inputs[i], weight_t, out=out[:rows]).relu_())
        bias, weight_t = self.layers[-1][1], self.transposed[-1]
        return torch.addmm(bias, self.inputs[-1], weight_t, out=self.output[:rows]).squeeze(1)

    def backward(self, d_output: torch.Tensor, d_inputs: torch.Tensor | None = None) -> None:
        rows = d_output.shape[0]
        delta = d_output.reshape(rows, -1)
        for i in range(len(self.layers) - 1, -1, -1):
            d_weight, d_bias = self.gradients[i]
            d_weight.addmm_(delta.t(), self.inputs[i])
            d_bias.addmv_(delta.t(), self.ones[:rows])
            below = self.deltas[i - 1][:rows] if i else d_inputs
            if below is not None:
                upstream = torch.mm(delta, self.layers[i][0], out=below)
                # relu'(0) = 0, as autograd has it
                delta = torch.ops.aten.threshold_backward.grad_input(
                    upstream, self.inputs[i], 0, grad_input=upstream
                )
