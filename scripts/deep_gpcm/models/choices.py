"""What an arm chooses from: how the model is computed, its memory read, how it is fed and trained.

Functions by name; all but evaluations have the kind behind the name, as `fused_memory`. Jobs are
stamped with those that they call.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import torch

from scripts.deep_gpcm.data.fold import Fold, Sequences
from scripts.deep_gpcm.models import network
from scripts.deep_gpcm.models.batches import Batch
from scripts.deep_gpcm.models.network import Forward, Heads, Network
from scripts.deep_gpcm.options import Training
from scripts.deep_gpcm.specs import GpcmJob
from scripts.lib.implementations import implementation, implementations

if TYPE_CHECKING:
    from scripts.deep_gpcm.models.fit import Fit

MemoryRead = Callable[..., torch.Tensor]
Step = Callable[[float], None]
Trainer = Callable[[list[Fold], GpcmJob, list[tuple]], "list[Fit]"]


def evaluation(model: str, memory: str, heads: str = "eager") -> Forward:
    """`forward(network, batch)` of these names; only the model `tables` has `heads`."""
    return implementations(__name__)[model](memory, heads)


def memory_of(name: str) -> MemoryRead:
    """The memory read of this name; what it takes and gives: scripts/deep_gpcm/models/memory/."""
    return implementations(__name__)[f"{name}_memory"]()


def heads_of(name: str) -> Callable[..., Heads]:
    """The heads of this name, of the model `tables`."""
    return implementations(__name__)[f"{name}_heads"]()


def loader_of(name: str, part: Sequences, train: Training, rng: torch.Generator) -> Iterable[Batch]:
    """The loader of this name: iterated, it gives the batches of another epoch."""
    return implementations(__name__)[f"{name}_loader"](part, train, rng)


def step_of(name: str, parameters: list[torch.Tensor], train: Training) -> Step:
    """`step(lr)` of this name: an update of the parameters by their gradients."""
    return implementations(__name__)[f"{name}_step"](parameters, train)


def trainer_of(name: str) -> Trainer:
    """The trainer of this name: (folds, job, keys of their streams) -> the fit of each."""
    return implementations(__name__)[f"{name}_trainer"]()


@implementation(devices=("cpu", "cuda"))
def stepwise(memory: str, heads: str) -> Forward:
    """The original's, with a memory and heads of its own."""
    from scripts.deep_gpcm.models.reference import forward

    return forward


@implementation(devices=("cpu", "cuda"))
def hoisted(memory: str, heads: str) -> Forward:
    """All but the memory for all answers at once, each answer by itself."""
    memory_read = memory_of(memory)

    def forward(net: Network, batch: Batch) -> Heads:
        key = network.key(net, batch.question)
        value = network.one_hot_value(net, batch.question, batch.response)
        gates = network.gates(net, value)
        weight = network.attention(net, key)
        read = memory_read(weight, *gates, net.value_memory, batch.lengths)
        return network.heads(net, read, key)

    return forward


@implementation(devices=("cpu", "cuda"))
def tables(memory: str, heads: str) -> Forward:
    """What depends on question and response only is computed once for each."""
    from scripts.deep_gpcm.models.lookup import forward

    return partial(forward, memory_read=memory_of(memory), heads=heads_of(heads))


@implementation(devices=("cpu", "cuda"))
def loop_memory() -> MemoryRead:
    from scripts.deep_gpcm.models.memory.autograd import memory_read

    return memory_read


@implementation(devices=("cpu", "cuda"))
def function_memory() -> MemoryRead:
    from scripts.deep_gpcm.models.memory.scan import memory_read

    return memory_read


@implementation
def fused_memory() -> MemoryRead:
    from scripts.deep_gpcm.models.memory.fused import memory_read

    return memory_read


@implementation(devices=("cpu", "cuda"))
def triton_memory() -> MemoryRead:
    from scripts.deep_gpcm.models.memory.triton_scan import memory_read

    return memory_read


@implementation
def no_erase_memory() -> MemoryRead:
    """A wrong twin: the memory only adds, so that the order of answers does not matter."""
    from scripts.deep_gpcm.models.memory.fused import memory_read

    def no_erase(w, e, a, m0, lengths):
        return memory_read(w, 0 * e, a, m0, lengths)

    return no_erase


@implementation
def first_memory_memory() -> MemoryRead:
    """A wrong twin: reads of the memory that every sequence starts from."""

    def first_memory(w, e, a, m0, lengths):
        # Erase and add vectors stay in the graph, with a gradient of zero.
        return w @ m0 + 0 * (e + a)

    return first_memory


@implementation(devices=("cpu", "cuda"))
def eager_heads() -> Callable[..., Heads]:
    from scripts.deep_gpcm.models.lookup import heads

    return heads


@implementation
def compiled_heads() -> Callable[..., Heads]:
    from scripts.deep_gpcm.models.lookup import heads

    return torch.compile(heads, dynamic=True)


@implementation
def int8_heads() -> Callable[..., Heads]:
    from scripts.deep_gpcm.models.lookup import heads, int8_linear

    return partial(heads, product=int8_linear)


@implementation(devices=("cpu", "cuda"))
def lists_loader(part: Sequences, train: Training, rng: torch.Generator) -> Iterable[Batch]:
    from scripts.deep_gpcm.models.reference import ListLoader

    return ListLoader(part, train, rng)


@implementation(devices=("cpu", "cuda"))
def resident_loader(part: Sequences, train: Training, rng: torch.Generator) -> Iterable[Batch]:
    from scripts.deep_gpcm.models.batches import ResidentLoader

    return ResidentLoader(part, train, rng)


@implementation(devices=("cpu", "cuda"))
def module_step(parameters: list[torch.Tensor], train: Training) -> Step:
    from scripts.deep_gpcm.models import reference

    return reference.module_step(parameters, train)


@implementation(devices=("cpu", "cuda"))
def fused_step(parameters: list[torch.Tensor], train: Training) -> Step:
    from scripts.deep_gpcm.models import optimizer

    return optimizer.fused_step(parameters, train)


@implementation(devices=("cpu", "cuda"))
def alone_trainer() -> Trainer:
    """One fold after the other."""
    from scripts.deep_gpcm.models.fit import fit

    def train(folds: list[Fold], job: GpcmJob, keys: list[tuple]) -> "list[Fit]":
        return [fit(fold, job, key) for fold, key in zip(folds, keys, strict=True)]

    return train


@implementation(devices=("cpu", "cuda"))
def stacked_trainer() -> Trainer:
    """The folds side by side, as many as the device has memory for."""
    from scripts.deep_gpcm.models.stack import fit_stack
    from scripts.lib.gpu_stacks import fitting

    def train(folds: list[Fold], job: GpcmJob, keys: list[tuple]) -> "list[Fit]":
        def some(pairs: Sequence[tuple[Fold, tuple]]) -> "list[Fit]":
            own, theirs = (list(part) for part in zip(*pairs, strict=True))
            return fit_stack(own, job, theirs)

        return fitting(some, list(zip(folds, keys, strict=True)))

    return train
