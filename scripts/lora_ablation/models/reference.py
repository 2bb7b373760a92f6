"""Arm `reference`: the training loop as the original describes it, on our streams.

DataLoader, StandardScaler, nn.Module, autograd, torch.optim.Adam, ReduceLROnPlateau; the guide's
further options (workers, autocast, TorchScript, its own normalisation) are switches
(docs/studies/lora_ablation.md, Classifier). Departs:
initial weights, shuffling and dropout come from labelled streams, so that all arms see the same
numbers; the best state is copied and near-constant columns are masked unless a `legacy` switch
says otherwise.
"""

import warnings
from functools import partial

import numpy as np
import torch
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from scripts.lib.timing import Phases
from scripts.lib.torch_rng import EpochBatches
from scripts.lora_ablation.data.cell import Cell, near_constant, standardisation
from scripts.lora_ablation.models.network import HIDDEN_LAYERS, Shape, initial
from scripts.lora_ablation.models.run import Fit, Run, batches
from scripts.lora_ablation.specs import Train


class StreamDropout(nn.Module):
    """Dropout whose mask is `torch.rand > p` from a generator of its own."""

    def __init__(self, p: float, rng: torch.Generator):
        super().__init__()
        self.p, self.rng = p, rng

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return x
        return x * (torch.rand(x.shape, generator=self.rng) > self.p) / (1 - self.p)


def network(
    shape: Shape, train: Train, flat: torch.Tensor, dropout: torch.Generator
) -> nn.Sequential:
    """The original's MLP with the weights of a flat vector.

    TorchScript cannot hold a generator, so the scripted network drops by nn.Dropout.
    """
    layers: list[nn.Module] = []
    for layer in range(HIDDEN_LAYERS):
        inputs = shape.hidden if layer else shape.inputs
        layers += [
            nn.Linear(inputs, shape.hidden, dtype=flat.dtype),
            nn.BatchNorm1d(shape.hidden, dtype=flat.dtype),
            nn.ReLU(),
            nn.Dropout(train.dropout) if train.script else StreamDropout(train.dropout, dropout),
        ]
    net = nn.Sequential(*layers, nn.Linear(shape.hidden, shape.classes, dtype=flat.dtype))
    with torch.no_grad():
        for parameter, view in zip(net.parameters(), shape.views(flat[None]), strict=True):
            parameter.copy_(view[0])
    if not train.script:
        return net
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.script(net)


def standardised(cell: Cell, train: Train, dtype: type[np.floating] = np.float32) -> np.ndarray:
    """All rows standardised by the training rows, full width, masked columns zero; in `dtype`."""
    x = cell.x.astype(dtype, copy=False)
    rows = x[cell.parts["train"]]
    if train.normalise == "guide":
        return (x - rows.mean(0)) / (rows.std(0, ddof=1) + np.float32(1e-8))
    scaler = StandardScaler().fit(rows)
    x = scaler.transform(x)
    if not train.legacy_noise:
        x[:, near_constant(scaler.mean_, np.sqrt(scaler.var_))] = 0
    return x


def predict(net: nn.Module, x: torch.Tensor, size: int) -> np.ndarray:
    """Predicted classes of all rows, in evaluation mode, batch by batch through a DataLoader."""
    net.eval()
    with torch.no_grad():
        loader = DataLoader(TensorDataset(x), batch_size=size)
        return torch.cat([net(batch).argmax(1) for (batch,) in loader]).numpy()


def fit_reference(cell: Cell, key: tuple, train: Train, dtype: torch.dtype = torch.float32) -> Fit:
    """Train one run, whose streams `key` addresses, on the cell.

    In float64 everything is: standardised features, weights, statistics, gradients and moments.
    Random numbers are drawn in float32 in either precision, so that the draws are the same.
    """
    phases, run = Phases(), Run(key, train)
    numbers = np.float64 if dtype == torch.float64 else np.float32
    x = torch.from_numpy(standardised(cell, train, numbers)).to(dtype)
    shape = Shape(x.shape[1], train.hidden, len(cell.classes))
    everything = torch.ones(shape.inputs, dtype=torch.bool)
    flat = initial(shape, everything, run.rngs["init"], dtype)
    if train.script:
        torch.manual_seed(run.rngs["dropout"].initial_seed())
    net = network(shape, train, flat, run.rngs["dropout"])
    optimizer = torch.optim.Adam(
        net.parameters(), lr=train.lr, betas=tuple(train.betas), eps=train.adam_eps,
        weight_decay=train.weight_decay,
    )  # fmt: skip
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, mode="max", factor=train.lr_factor, patience=train.lr_patience
    )
    criterion, y = nn.CrossEntropyLoss(), torch.from_numpy(cell.y)
    train_rows, val_rows = cell.parts["train"], cell.parts["val"]
    loader = DataLoader(
        TensorDataset(x[train_rows], y[train_rows]),
        batch_sampler=EpochBatches(
            partial(batches, len(train_rows), train.batch, run.rngs["shuffle"])
        ),
        num_workers=train.workers, persistent_workers=train.workers > 0,
    )  # fmt: skip
    n_steps, x_val = 0, x[val_rows]
    phases.lap("prepare")
    while not run.finished:
        net.train()
        losses: list[float] = []
        total = 0.0
        for batch, labels in loader:
            phases.lap("data")
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=train.autocast):
                loss = criterion(net(batch), labels)
            loss.backward()
            phases.lap("gradient")
            optimizer.step()
            phases.lap("optimizer")
            losses.append(loss.item())
            total += losses[-1] * len(labels)
            n_steps += 1
        accuracy = (predict(net, x_val, train.batch) == cell.y[val_rows]).mean()
        plateau.step(accuracy)
        state = tuple(net.state_dict().values())
        run.end_epoch(total / len(train_rows), accuracy, state, losses)
        phases.lap("validate")
    cost = phases.columns()
    net.load_state_dict(dict(zip(net.state_dict(), run.state, strict=True)))
    predicted = predict(net, x, train.batch)
    n_kept = int(standardisation(cell.x[train_rows], not train.legacy_noise).kept.sum())
    return run.fit(predicted, n_steps, n_kept=n_kept, n_parameters=shape.size, cost=cost)
