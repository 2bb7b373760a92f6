"""Arms `resident` and `stacked`: data in memory, gradients in closed form, R runs side by side.

With one run this is `resident`. Columns that are masked, which the reference multiplies by zero,
are left out; the initial weights of the others are the reference's.
"""

import numpy as np
import torch
from torch.nn.functional import pad

from scripts.lib.fused_adam import fused_adam
from scripts.lib.timing import Phases
from scripts.lora_ablation.training import standardise
from scripts.lora_ablation.training.backprop import Backprop
from scripts.lora_ablation.training.data import Cell, batches
from scripts.lora_ablation.training.network import Shape, initial, logits
from scripts.lora_ablation.training.run import Fit, Run

# Bytes up to which a standardised copy of the features is kept; above, each batch is standardised.
COPY_LIMIT = 1_000_000_000


class Features:
    """Standardised rows on demand, from a copy if that is small."""

    def __init__(self, cell: Cell, mask: bool, dtype: torch.dtype):
        self.fitted = standardise.fit(cell.x[cell.parts["train"]], mask)
        self.x, self.dtype, self.copy = cell.x, dtype, None
        if cell.x.nbytes <= COPY_LIMIT:
            self.copy = torch.from_numpy(self.fitted(cell.x)).to(dtype)

    def take(self, rows: torch.Tensor) -> torch.Tensor:
        """Rows (k,) -> (k, kept columns)."""
        if self.copy is not None:
            return self.copy.index_select(0, rows)
        return torch.from_numpy(self.fitted(self.x[rows.numpy()])).to(self.dtype)


def apart(x: torch.Tensor) -> torch.Tensor:
    """The same x (R, B, D), each run's rows on whole 64-byte lines, for the reason of Shape.stride.

    Hidden layers are there of themselves if `hidden` is a multiple of 16.
    """
    size = x.shape[1] * x.shape[2]
    if size % 16 == 0:
        return x
    return pad(x.flatten(1), (0, -size % 16))[:, :size].unflatten(1, x.shape[1:])


class Stack:
    """State of R runs: flat parameters and Adam's moments (R, stride), running statistics."""

    def __init__(self, shape: Shape, kept: torch.Tensor, runs: list[Run], dtype: torch.dtype):
        self.parameters, self.gradient, self.first, self.second = torch.zeros(
            4, len(runs), shape.stride, dtype=dtype
        )
        for row, run in zip(self.parameters, runs, strict=True):
            row[: shape.size] = initial(shape, kept, run.rngs["init"], dtype)
        self.buffers = shape.buffers(len(runs), dtype)

    def keep(self, places: list[int]) -> None:
        """Drop all runs but those at `places`."""
        for name, value in vars(self).items():
            setattr(self, name, value[places])


def step_adam(stack: Stack, runs: list[Run], step: torch.Tensor, train: dict) -> None:
    """One Adam step of every run at its own learning rate; coupled weight decay, as the source."""
    for place, run in enumerate(runs):
        moments = [stack.first[place]], [stack.second[place]]
        fused_adam(
            [stack.parameters[place]], [stack.gradient[place]], moments, [step.clone()],
            run.schedule.lr, train, train["weight_decay"],
        )  # fmt: skip


def predict(features: Features, rows: np.ndarray, views: list, buffers: torch.Tensor) -> np.ndarray:
    """Predicted classes (R, rows) by networks in evaluation mode, 4096 rows at a time."""
    parts = torch.from_numpy(rows).split(4096)
    done = [logits(features.take(part), views, buffers).argmax(2) for part in parts]
    return torch.cat(done, 1).numpy()


def fit_stack(
    cell: Cell, keys: list[tuple], train: dict, dtype: torch.dtype = torch.float32
) -> list[Fit]:
    """Train one run per key (its random streams) on the cell, all side by side.

    A run that stops early leaves the stack; the others go on, so no run's numbers depend on its
    company. `fit_s` and `cpu_s` are shared out equally.
    """
    phases = Phases()
    features = Features(cell, not train["legacy_noise"], dtype)
    kept = torch.from_numpy(features.fitted.kept)
    shape = Shape(int(kept.sum()), train["hidden"], len(cell.classes))
    runs = [Run(key, train) for key in keys]
    everyone, y = list(runs), torch.from_numpy(cell.y)
    train_rows = torch.from_numpy(cell.parts["train"])
    stack, step = Stack(shape, kept, runs, dtype), torch.tensor(0.0)
    phases.lap("prepare")
    while runs:
        estimate = Backprop(
            shape, stack.parameters, stack.gradient, stack.buffers, train["dropout"],
            [run.rngs["dropout"] for run in runs], train["batch"],
        )  # fmt: skip
        views = shape.views(stack.parameters)
        while not any(run.finished for run in runs):
            totals = torch.zeros(len(runs), dtype=torch.float64)
            orders = [batches(len(train_rows), train["batch"], run.rngs["shuffle"]) for run in runs]
            for positions in zip(*orders, strict=True):
                rows = train_rows[torch.cat(positions)]
                x = apart(features.take(rows).unflatten(0, (len(runs), -1)))
                labels = y[rows].view(len(runs), -1)
                phases.lap("data")
                loss = estimate(x, labels)
                phases.lap("gradient")
                step_adam(stack, runs, step, train)
                step += 1
                phases.lap("optimizer")
                totals.add_(loss, alpha=labels.shape[1])
            predicted = predict(features, cell.parts["val"], views, stack.buffers)
            accuracies = (predicted == cell.y[cell.parts["val"]]).mean(1)
            for place, run in enumerate(runs):
                state = (stack.parameters[place : place + 1], stack.buffers[place : place + 1])
                run.end_epoch(float(totals[place] / len(train_rows)), accuracies[place], state)
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
