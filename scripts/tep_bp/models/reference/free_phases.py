"""What the original proposes to make the free phase cheaper, on the reference trainer.

`train.proposal` is none, compiled (torch.compile), bfloat16 (both phases, in the learning rule)
or warm_start (each sample's free phase starts where its last one ended).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

import torch
from torch import Tensor

from scripts.lib.timing import Phases
from scripts.tep_bp.models.interface import Data, numbers
from scripts.tep_bp.models.reference.learning_rules import tep
from scripts.tep_bp.models.reference.networks import ACTIVATIONS, Recurrent
from scripts.tep_bp.options import Training
from scripts.tep_bp.plans.space import Trial

SAMPLES = 256  # on which a gradient in bfloat16 is compared


@cache
def compiled_free() -> Callable:
    """`free_phase`, compiled once per process and activation for all shapes."""
    return torch.compile(free_phase, dynamic=True)


def free_phase(drive: Tensor, W: Tensor, activation: str, steps: int) -> Tensor:
    """`steps` of the plain iteration from 0."""
    h = torch.zeros_like(drive)
    for _ in range(steps):
        h = ACTIVATIONS[activation](torch.addmm(drive, h, W))
    return h


@torch.no_grad()
def compile_free(net: Recurrent, trial: Trial, x: Tensor) -> None:
    """Give the network the compiled free phase, compiled here if this process has not yet."""

    def free(drive: Tensor) -> Tensor:
        # As a plain tensor: the shape of a parameter would be compiled in.
        return compiled_free()(drive, net.W.data, trial.activation, net.solver.free)

    net.free, net.taken = free, net.solver.free
    free(net.drive(x))


class LastStates:
    """The free state of every sample at its last visit, zeros before the first."""

    def __init__(self, net: Recurrent, data: Data):
        self.net = net
        self.states = net.b.new_zeros(len(data.x), len(net.b))

    @contextmanager
    def of(self, rows: Tensor) -> Iterator[None]:
        """Within, the free phase of these samples starts at their states and leaves new ones."""
        self.net.origin = self.states[rows]
        yield
        self.states[rows] = self.net.settled
        self.net.origin = None


def gradient_cosine(net: Recurrent, data: Data, trial: Trial, train: Training) -> float:
    """Smaller cosine, of W_x and of W, between the gradients in bfloat16 and as trained else."""
    x, y = numbers(data.x[:SAMPLES]), data.y[:SAMPLES]
    sides = []
    for proposal in ("bfloat16", "none"):
        tep(net, x, y, trial, train.model_copy(update={"proposal": proposal}), Phases())
        sides.append([net.W_x.grad.flatten(), net.W.grad.flatten()])
    pairs = zip(*sides, strict=True)
    return min(torch.cosine_similarity(*pair, dim=0).item() for pair in pairs)
