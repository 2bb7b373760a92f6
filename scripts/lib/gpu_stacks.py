"""What a stack of units needs on a GPU: a step as one graph, and halves where memory is short."""

import gc
from collections.abc import Callable, Hashable, Sequence
from functools import cache
from typing import Any, TypeVar

import torch

from scripts.lib.faults import ContractError

U = TypeVar("U")
A = TypeVar("A")


def fitting(compute: Callable[[Sequence[U]], list[A]], units: Sequence[U]) -> list[A]:
    """Answers of units that are computed at once; of halves, where the GPU has no memory for all.

    ContractError where it has none for a single one.
    """
    try:
        return compute(units)
    except torch.OutOfMemoryError:
        if len(units) == 1:
            raise ContractError(
                "The GPU has too little memory for a single unit; use device: cpu."
            ) from None
    # What failed may hold itself: a step as a method, in what holds the step.
    gc.collect()
    torch.cuda.empty_cache()
    half = len(units) // 2
    return fitting(compute, units[:half]) + fitting(compute, units[half:])


@cache
def side_stream() -> "torch.cuda.Stream":
    """Where steps warm up: one for all, as each has a workspace of its own."""
    return torch.cuda.Stream()


def graphed(step: Callable[..., Any], state: Sequence[torch.Tensor]) -> Callable[..., Any]:
    """A step as it is on a CPU, and on a GPU as a graph (`replayed`), by where its state is."""
    return replayed(step, state) if state[0].device.type == "cuda" else step


def replayed(step: Callable[..., Any], state: Sequence[torch.Tensor]) -> Callable[..., Any]:
    """A step as one CUDA graph for each shape of its tensors and value of its other arguments.

    `state` is all that a step changes and reads again: to warm up, it is taken three times, and
    what it changed is put back. Its answer is overwritten by the next step.
    """
    graphs: dict[Hashable, tuple] = {}

    def capture(inputs: tuple) -> tuple:
        before = [tensor.clone() for tensor in state]
        static = [x.clone() if isinstance(x, torch.Tensor) else x for x in inputs]
        stream = side_stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                step(*static)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            values = step(*static)
        for tensor, value in zip(state, before, strict=True):
            tensor.copy_(value)
        return graph, static, values

    def take(*inputs: Any) -> Any:
        key = tuple(tuple(x.shape) if isinstance(x, torch.Tensor) else x for x in inputs)
        if key not in graphs:
            graphs[key] = capture(inputs)
        graph, static, values = graphs[key]
        for held, given in zip(static, inputs, strict=True):
            if isinstance(held, torch.Tensor):
                held.copy_(given)
        graph.replay()
        return values

    return take
