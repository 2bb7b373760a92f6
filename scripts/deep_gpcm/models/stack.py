"""The folds of a data set side by side: a training step is one batch of each.

Trainer `stacked`. Each fold has the draws, batches, step size and validation that it has alone
(models/fit.py); its numbers differ by rounding, also with its company. What depends on question and
response only is one batch of products over the folds, their sequences walk the memory together, and
rows are padded to the fold that has most.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from itertools import zip_longest
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.func import functional_call, vmap
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from scripts.deep_gpcm.data.fold import Fold
from scripts.deep_gpcm.models import lookup
from scripts.deep_gpcm.models.batches import Batch, Resident, packed, padded, places
from scripts.deep_gpcm.models.choices import MemoryRead, loader_of, memory_of
from scripts.deep_gpcm.models.fit import Fit, worth
from scripts.deep_gpcm.models.loss import row_losses
from scripts.deep_gpcm.models.network import Heads, Network, log_probability
from scripts.deep_gpcm.models.optimizer import Schedule, adam_options
from scripts.deep_gpcm.options import Training
from scripts.deep_gpcm.specs import GpcmJob
from scripts.lib.devices import torch_device
from scripts.lib.fused_adam import fused_adam
from scripts.lib.timing import Phases
from scripts.lib.torch_rng import torch_rng

NOTHING = Batch(*torch.empty(3, 0, dtype=torch.int64))


class Together(NamedTuple):
    """A batch of each fold, one after the other.

    `answers` (F,), on the CPU, counts those of each; on the device are the fold of each answer and
    its place among the answers of its fold, padded, (S,), and the fold of each sequence (B,).
    """

    batch: Batch
    answers: torch.Tensor
    fold: torch.Tensor
    place: torch.Tensor
    of_sequence: torch.Tensor

    @classmethod
    def of(cls, batches: list[Batch | None], device: torch.device) -> "Together":
        """The batch of each fold, None of one that has none; on the device."""
        own = [batch or NOTHING for batch in batches]
        answers = torch.tensor([len(batch.question) for batch in own])
        sequences = torch.tensor([len(batch.lengths) for batch in own])
        parts = zip(
            *((batch.question, batch.response, batch.lengths) for batch in own), strict=True
        )
        question, response, lengths = map(torch.cat, parts)
        folds = torch.arange(len(own))
        # In one copy, because a GPU waits for each.
        columns = [question, response, folds.repeat_interleave(answers), places(answers)]
        question, response, fold, place = torch.stack(columns).to(device)
        of_sequence = folds.repeat_interleave(sequences).to(device)
        return cls(Batch(question, response, lengths), answers, fold, place, of_sequence)

    def padded(self, rows: torch.Tensor) -> torch.Tensor:
        """Rows (S, ...) of all answers as those of each fold, padded behind, (F, ., ...)."""
        return padded(rows, self.answers, self.place)


class Applied(nn.Module):
    """A function of a network as a module, whose parameters can be exchanged for its call."""

    def __init__(self, net: Network):
        super().__init__()
        self.net = net

    def forward(self, function: Callable, *args: Any) -> Any:
        return function(self.net, *args)


class Stack:
    """Networks of one shape, and Adam's state of each.

    Parameters (F, size), both moments (2, F, size), steps that were taken (F,).
    """

    def __init__(self, nets: list[Network], train: Training):
        self.net, self.train, self.call = nets[0], train, Applied(nets[0])
        vectors = [parameters_to_vector(net.parameters()).detach() for net in nets]
        self.parameters = torch.stack(vectors).requires_grad_()
        self.moments = torch.zeros(2, *self.parameters.shape).to(self.parameters)
        self.counts = torch.zeros(len(nets), device=self.parameters.device)
        self.shapes = {f"net.{name}": p.shape for name, p in self.net.named_parameters()}

    def views(self) -> dict[str, torch.Tensor]:
        """The parameters by name, (F, *shape)."""
        parts = self.parameters.split([shape.numel() for shape in self.shapes.values()], 1)
        named = zip(self.shapes.items(), parts, strict=True)
        return {name: part.unflatten(1, shape) for (name, shape), part in named}

    def each(self, function: Callable, views: dict[str, torch.Tensor], *args: torch.Tensor) -> Any:
        """A function of a network and tensors, of each of the networks and its part of them."""

        def one(own: dict[str, torch.Tensor], *parts: torch.Tensor) -> Any:
            return functional_call(self.call, own, (function, *parts))

        return vmap(one)(views, *args)

    def log_probability(self, these: Together, memory_read: MemoryRead) -> torch.Tensor:
        """GPCM log-probabilities of all answers, (S, K)."""
        batch, views = these.batch, self.views()
        tables = self.each(lookup.tables, views)
        # The tables of the folds one below the other, from which rows are picked as from one.
        below = lookup.Tables(*(table.flatten(0, 1) for table in tables))
        question = batch.question + these.fold * (self.net.questions + 1)
        rows = lookup.picked(below, self.net.categories, question, batch.response)
        starts = views["net.value_memory"].index_select(0, these.of_sequence)
        read = memory_read(*rows, starts, batch.lengths)
        read, question = these.padded(read), these.padded(batch.question)
        heads = self.each(lookup.heads, views, read, tables.keys, question)
        heads = Heads(*(packed(part, these.place) for part in heads))
        return log_probability(self.net, heads, batch.question)

    def descend(self, these: Together, memory_read: MemoryRead, phases: Phases) -> torch.Tensor:
        """Fill the gradient of each fold's mean loss, clipped; returns these losses, (F,)."""
        self.parameters.grad = None
        log_p = self.log_probability(these, memory_read)
        losses = row_losses(log_p, these.batch.response, self.train.loss)
        counts = these.padded(torch.ones_like(losses)).sum(1).clamp(min=1)
        means = these.padded(losses).sum(1) / counts
        phases.lap("forward")
        means.sum().backward()
        gradient = self.parameters.grad
        norm = gradient.norm(dim=1, keepdim=True)
        gradient.mul_((self.train.clip / (norm + 1e-6)).clamp(max=1))  # as clip_grad_norm_
        phases.lap("backward")
        return means.detach()

    @torch.no_grad()
    def step(self, rates: Mapping[int, float]) -> None:
        """Adam's update of some networks, each at its own rate."""
        options, alike = adam_options(self.train), defaultdict(list)
        for fold, lr in rates.items():
            alike[lr].append(fold)
        for lr, folds in alike.items():
            own = [
                [state[fold] for fold in folds]
                for state in (self.parameters, self.parameters.grad, *self.moments, self.counts)
            ]
            fused_adam(own[0], own[1], (own[2], own[3]), own[4], lr, *options)

    @torch.no_grad()
    def validate(
        self, held_out: dict[int, Resident], memory_read: MemoryRead
    ) -> dict[int, tuple[float, float]]:
        """NLL and QWK of the validation sequences of some folds."""
        parts = [torch.arange(len(data)).split(self.train.batch) for data in held_out.values()]
        found = defaultdict(list)
        for chosen in zip_longest(*parts):
            pairs = zip(held_out.items(), chosen, strict=True)
            own = {fold: data.batch(rows) for (fold, data), rows in pairs if rows is not None}
            these = Together.of(list(map(own.get, range(len(self.counts)))), self.net.device)
            log_p = self.log_probability(these, memory_read).double().cpu()
            rows = log_p.split(these.answers.tolist())
            for fold, batch in own.items():
                found[fold].append((rows[fold], batch.response))
        return {fold: worth(*map(torch.cat, zip(*found[fold], strict=True))) for fold in held_out}


def fit_stack(folds: list[Fold], job: GpcmJob, keys: list[tuple]) -> list[Fit]:
    """Train a network on each fold, all side by side; `keys` address their streams as in `fit`.

    A fold that diverges stops, and the others go on. Costs are shared out equally.
    """
    vmap(torch.neg)(torch.zeros(1))  # imports much of PyTorch, which is in no fold's time
    train, memory_read, phases = job.train, memory_of(job.memory), Phases()
    device = torch_device(job.device)
    done, loaders = [], []
    for fold, key in zip(folds, keys, strict=True):
        levels = torch.from_numpy(fold.levels)
        done.append(Fit(Network(job.model, levels, torch_rng(*key, "init"), train.precision)))
        rng = torch_rng(*key, "shuffle")
        loaders.append(loader_of(job.loader, fold.parts["train"], train, rng))
    stack = Stack([one.net.to(device) for one in done], train)
    held_out = {place: Resident(fold.parts["val"]) for place, fold in enumerate(folds)}
    schedules, kept = [Schedule(train) for _ in folds], stack.parameters.detach().clone()
    phases.lap("prepare")
    for _ in range(train.epochs):
        active = [place for place, one in enumerate(done) if not one.diverged]
        if not active:
            break
        rates, steps = {place: schedules[place].lr for place in active}, []
        for batches in zip_longest(*(loaders[place] for place in active)):
            own = {p: b for p, b in zip(active, batches, strict=True) if b is not None}
            these = Together.of(list(map(own.get, range(len(done)))), device)
            phases.lap("data")
            losses = stack.descend(these, memory_read, phases)
            stack.step({place: rates[place] for place in own})
            steps.append((own.keys(), losses))
            phases.lap("optimizer")
            for place, batch in own.items():
                done[place].n_answers += len(batch.question)
        table = torch.stack([losses for _, losses in steps]).tolist()
        values = stack.validate({place: held_out[place] for place in active}, memory_read)
        for place in active:
            losses = [
                row[place] for (own, _), row in zip(steps, table, strict=True) if place in own
            ]
            done[place].end_epoch(losses, *values[place], rates[place])
            if schedules[place].keeps(values[place][1]):
                kept[place] = stack.parameters[place].detach()
        phases.lap("validate")
    cost = {name: value / len(done) for name, value in phases.columns().items()}
    for one, schedule, vector in zip(done, schedules, kept, strict=True):
        vector_to_parameters(vector, one.net.parameters())
        one.best_epoch, one.cost = schedule.best_epoch, cost
    return done
