"""Arms `resident` and `stacked`: data in memory, gradients in closed form, R runs side by side.

With one run this is `resident`. Columns that are masked, which the reference multiplies by zero,
are left out; the initial weights of the others are the reference's. On a GPU random numbers still
come from each run's CPU streams, so that a run has the same draws there.
"""

import numpy as np
import torch
from torch.nn.functional import pad

from scripts.lib.devices import torch_device
from scripts.lib.fused_adam import fused_adam
from scripts.lib.timing import Phases
from scripts.lora_ablation.data.cell import Cell, standardisation
from scripts.lora_ablation.models.network import (
    BN_EPS,
    BN_MOMENTUM,
    HIDDEN_LAYERS,
    Shape,
    initial,
    linears,
    logits,
)
from scripts.lora_ablation.models.run import Fit, Run, batches
from scripts.lora_ablation.specs import Train

CPU = torch.device("cpu")
# Bytes up to which a standardised copy of the features is kept; above, each batch is standardised.
COPY_LIMIT = 1_000_000_000
ROWS = 4096  # standardised, or predicted, at a time
# grad where other > threshold, else 0, in one vectorised pass; compare and where take three.
where_above = torch.ops.aten.threshold_backward


class Backprop:
    """Cross-entropy gradient of R stacked classifiers.

    `parameters` and `gradient` are (R, size), `buffers` (R, layers, 2, H): the running statistics
    are updated as BatchNorm1d does. Dropout keeps where `torch.rand(B, H) > dropout`, layer by
    layer, from each run's own generator. The gradient of a bias in front of a batch norm is zero,
    as in exact arithmetic; autograd yields rounding noise there.
    """

    def __init__(
        self,
        shape: Shape,
        parameters: torch.Tensor,
        gradient: torch.Tensor,
        buffers: torch.Tensor,
        dropout: float,
        masks: list[torch.Generator],
        batch: int,
    ):
        self.views, self.grads = shape.views(parameters), shape.views(gradient)
        self.buffers, self.dropout, self.masks = buffers, dropout, masks
        self.kept = 1 - dropout
        self.uniform = torch.empty(len(parameters), batch, shape.hidden)
        gradient.zero_()

    def _forward(self, x: torch.Tensor) -> tuple[torch.Tensor, list[tuple]]:
        """Logits (R, B, C) and what each hidden layer has to remember."""
        batch, saved, hidden = x.shape[1], [], x
        for layer in range(HIDDEN_LAYERS):
            weight, bias, gamma, beta = self.views[4 * layer : 4 * layer + 4]
            a = linears(hidden, weight, bias)
            # Sums and products in place of var_mean, which takes thirty times as long here.
            mean = a.sum(1, keepdim=True).div_(batch)
            centred = a.sub_(mean)
            var = (centred * centred).sum(1, keepdim=True).div_(batch)
            running = self.buffers[:, layer]
            running[:, 0].lerp_(mean.squeeze(1), BN_MOMENTUM)
            running[:, 1].lerp_(var.squeeze(1) * (batch / (batch - 1)), BN_MOMENTUM)
            inverse = (var + BN_EPS).rsqrt_()
            standard = centred.mul_(inverse)
            active = torch.addcmul(beta.unsqueeze(1), standard, gamma.unsqueeze(1)).relu_()
            dropped = where_above(active, self._uniform(batch), self.dropout)
            saved.append((hidden, standard, inverse))
            hidden = dropped.div_(self.kept)
        weight, bias = self.views[-2:]
        saved.append((hidden,))
        return linears(hidden, weight, bias), saved

    def _uniform(self, batch: int) -> torch.Tensor:
        """Fresh U(0, 1) numbers (R, B, H), each run's from its own generator."""
        uniform = self.uniform[:, :batch]
        for run, rng in enumerate(self.masks):
            torch.rand(uniform[run].shape, generator=rng, out=uniform[run])
        return uniform.to(self.views[0])

    def __call__(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Fill the gradient for x (R, B, D) and labels (R, B); the mean loss of each run, (R,)."""
        outputs, saved = self._forward(x)
        log_p = outputs.log_softmax(2)
        picked = labels.unsqueeze(2)
        loss = -log_p.gather(2, picked).mean((1, 2))
        batch = x.shape[1]
        d = log_p.exp_().scatter_add_(2, picked, torch.full_like(picked, -1, dtype=x.dtype))
        d.div_(batch)
        self.grads[-2].copy_(linears(d.mT, saved[-1][0].mT))
        torch.sum(d, 1, out=self.grads[-1])
        d = linears(d, self.views[-2].mT)
        for layer in reversed(range(HIDDEN_LAYERS)):
            hidden, standard, inverse = saved[layer]
            d_weight, _, d_gamma, d_beta = self.grads[4 * layer : 4 * layer + 4]
            gamma = self.views[4 * layer + 2]
            # What passed ReLU and dropout is positive behind them.
            d = where_above(d, saved[layer + 1][0], 0.0).div_(self.kept)
            torch.sum(d, 1, out=d_beta)
            torch.sum(d * standard, 1, out=d_gamma)
            # Batch norm backward: remove the mean and the part along the standardised input.
            d.sub_(d_beta.unsqueeze(1) / batch)
            d.addcmul_(standard, d_gamma.unsqueeze(1), value=-1 / batch)
            d.mul_(inverse * gamma.unsqueeze(1))
            d_weight.copy_(linears(d.mT, hidden.mT))
            if layer:
                d = linears(d, self.views[4 * layer].mT)
        return loss


class Features:
    """Standardised rows on demand, from a copy if that is small, or if it is on a GPU."""

    def __init__(self, cell: Cell, mask: bool, dtype: torch.dtype, device: torch.device = CPU):
        self.fitted = standardisation(cell.x[cell.parts["train"]], mask)
        self.x, self.dtype, self.device, self.copy = cell.x, dtype, device, None
        if cell.x.nbytes <= COPY_LIMIT or device.type != "cpu":
            # Slices, which are views: an index would copy every row once more.
            starts = range(0, len(cell.x), ROWS)
            copies = [self._standardised(cell.x[at : at + ROWS]) for at in starts]
            self.copy = torch.cat(copies) if len(copies) > 1 else copies[0]

    def take(self, rows: torch.Tensor) -> torch.Tensor:
        """Rows (k,), on the CPU -> (k, kept columns), on the device."""
        if self.copy is not None:
            return self.copy.index_select(0, rows.to(self.device))
        return self._standardised(self.x[rows.numpy()])

    def _standardised(self, x: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(self.fitted(x)).to(self.device, self.dtype)


def aligned(x: torch.Tensor) -> torch.Tensor:
    """The same x (R, B, D), each run's rows on whole 64-byte lines, for the reason of Shape.stride.

    Hidden layers are there of themselves if `hidden` is a multiple of 16.
    """
    size = x.shape[1] * x.shape[2]
    if size % 16 == 0:
        return x
    return pad(x.flatten(1), (0, -size % 16))[:, :size].unflatten(1, x.shape[1:])


class Stack:
    """State of R runs: flat parameters and Adam's moments (R, stride), running statistics."""

    def __init__(
        self,
        shape: Shape,
        kept: torch.Tensor,
        runs: list[Run],
        dtype: torch.dtype,
        device: torch.device = CPU,
    ):
        self.parameters, self.gradient, self.first, self.second = torch.zeros(
            4, len(runs), shape.stride, dtype=dtype, device=device
        )
        for row, run in zip(self.parameters, runs, strict=True):
            row[: shape.size] = initial(shape, kept, run.rngs["init"], dtype)
        self.buffers = shape.buffers(len(runs), dtype, device)

    def keep(self, places: list[int]) -> None:
        """Drop all runs but those at `places`."""
        for name, value in vars(self).items():
            setattr(self, name, value[places])


def step_adam(stack: Stack, runs: list[Run], step: torch.Tensor, train: Train) -> None:
    """One Adam step of every run at its own learning rate, with coupled weight decay."""
    for place, run in enumerate(runs):
        moments = [stack.first[place]], [stack.second[place]]
        fused_adam(
            [stack.parameters[place]], [stack.gradient[place]], moments, [step.clone()],
            run.schedule.lr, train.betas, train.adam_eps, train.weight_decay,
        )  # fmt: skip


def predict(features: Features, rows: np.ndarray, views: list, buffers: torch.Tensor) -> np.ndarray:
    """Predicted classes (R, rows) by networks in evaluation mode, some rows at a time."""
    parts = torch.from_numpy(rows).split(ROWS)
    classes = [logits(features.take(part), views, buffers).argmax(2) for part in parts]
    return torch.cat(classes, 1).cpu().numpy()


def fit_stack(
    cell: Cell,
    keys: list[tuple],
    train: Train,
    dtype: torch.dtype = torch.float32,
    gradient: type[Backprop] = Backprop,
    device: str = "cpu",
) -> list[Fit]:
    """Train one run per key (its random streams) on the cell, all side by side.

    A run that stops early leaves the stack; the others go on, so no run's numbers depend on its
    company. `fit_s` and `cpu_s` are shared out equally.
    """
    phases, there = Phases(), torch_device(device)
    features = Features(cell, not train.legacy_noise, dtype, there)
    kept = torch.from_numpy(features.fitted.kept)
    shape = Shape(int(kept.sum()), train.hidden, len(cell.classes))
    runs = [Run(key, train) for key in keys]
    everyone, y = list(runs), torch.from_numpy(cell.y)
    train_rows = torch.from_numpy(cell.parts["train"])
    stack, step = Stack(shape, kept, runs, dtype, there), torch.zeros((), device=there)
    phases.lap("prepare")
    while runs:
        estimate = gradient(
            shape, stack.parameters, stack.gradient, stack.buffers, train.dropout,
            [run.rngs["dropout"] for run in runs], train.batch,
        )  # fmt: skip
        views = shape.views(stack.parameters)
        while not any(run.finished for run in runs):
            totals, losses = torch.zeros(len(runs), dtype=torch.float64, device=there), []
            orders = [batches(len(train_rows), train.batch, run.rngs["shuffle"]) for run in runs]
            for positions in zip(*orders, strict=True):
                rows = train_rows[torch.cat(positions)]
                x = aligned(features.take(rows).unflatten(0, (len(runs), -1)))
                labels = y[rows].view(len(runs), -1).to(there)
                phases.lap("data")
                loss = estimate(x, labels)
                phases.lap("gradient")
                step_adam(stack, runs, step, train)
                step += 1
                phases.lap("optimizer")
                totals.add_(loss, alpha=labels.shape[1])
                losses.append(loss)
            predicted = predict(features, cell.parts["val"], views, stack.buffers)
            accuracies = (predicted == cell.y[cell.parts["val"]]).mean(1)
            steps, sums = torch.stack(losses, 1).tolist(), totals.tolist()
            for place, run in enumerate(runs):
                state = (stack.parameters[place : place + 1], stack.buffers[place : place + 1])
                mean = sums[place] / len(train_rows)
                run.end_epoch(mean, accuracies[place], state, steps[place])
            phases.lap("validate")
        left = [place for place, run in enumerate(runs) if not run.finished]
        runs = [runs[place] for place in left]
        stack.keep(left)
    cost = {name: value / len(everyone) for name, value in phases.columns().items()}
    rows = np.arange(len(cell.y))
    return [
        run.fit(
            predict(features, rows, shape.views(run.state[0]), run.state[1])[0],
            n_steps=len(orders[0]) * len(run.history),
            n_kept=shape.inputs,
            n_parameters=shape.size,
            cost=cost,
        )
        for run in everyone
    ]
