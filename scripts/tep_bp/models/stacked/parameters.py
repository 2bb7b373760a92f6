"""Parameters of stacked trials in one buffer, so that an optimiser walks them at once.

All slices of a stack start on a line of the cache: then a trial's sums and products are the same
bits wherever it stands in the stack (docs/studies/tep_bp.md, Batched training).
"""

import math

import torch

from scripts.tep_bp.models.interface import Data, initial
from scripts.tep_bp.plans.space import Trial

ABSENT = -1e4  # bias of the classes that only fill the line: their probability is exactly 0
MATRICES = ("W_x", "W", "W_o")
LINE = 16  # float32 values: a line of the processor's cache


def padded(n: int) -> int:
    """The next multiple of a line."""
    return math.ceil(n / LINE) * LINE


def rows(trials: int, n: int, width: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """A buffer of n rows per trial, (T, n, width), not initialised."""
    return torch.empty(trials, padded(n), width, dtype=dtype, device=device)[:, :n]


def like(stack: torch.Tensor) -> torch.Tensor:
    """A buffer of the same shape, not initialised."""
    return rows(*stack.shape, stack.dtype, stack.device)


class Parameters:
    """Views W_x (T, D, d), b (T, 1, d), W (T, d, d), W_o (T, d, C'), b_o (T, 1, C') of `flat`.

    C' is the number of classes, padded. The rule bp has no W.
    """

    def __init__(self, flat: torch.Tensor, inputs: int, hidden: int, classes: int, recurrent: bool):
        self.flat, self.classes = flat, classes
        shapes = {"W_x": (inputs, hidden), "b": (1, hidden), "W": (hidden, hidden)}
        shapes |= {"W_o": (hidden, padded(classes)), "b_o": (1, padded(classes))}
        self.views, start = {}, 0
        for name, shape in shapes.items():
            if name == "W" and not recurrent:
                continue
            part = flat[:, start : start + math.prod(shape)]
            self.views[name] = part.view(len(flat), *shape)
            start += padded(math.prod(shape))
        self.size = start

    def __getattr__(self, name: str) -> torch.Tensor:
        try:
            return self.__dict__["views"][name]
        except KeyError:
            raise AttributeError(name) from None

    def over(self, flat: torch.Tensor) -> "Parameters":
        """Other numbers in the same layout."""
        return Parameters(flat, *self.W_x.shape[1:], self.classes, "W" in self.views)

    def like(self) -> "Parameters":
        """Zeros of the same layout."""
        return self.over(torch.zeros_like(self.flat))

    def decays(self) -> torch.Tensor:
        """1 where a parameter decays, (T, P): the matrices do, biases do not."""
        ones = self.like()
        for name in MATRICES:
            if name in ones.views:
                ones.views[name][:] = 1
        return ones.flat

    def of(self, place: int) -> dict[str, torch.Tensor]:
        """Copies of one trial's parameters, without padding, on the CPU."""
        own = {name: view[place].cpu().clone() for name, view in self.views.items()}
        own["W_o"] = own["W_o"][:, : self.classes].clone()
        own["b"], own["b_o"] = own["b"][0], own["b_o"][0, : self.classes].clone()
        return own


def stacked_parameters(
    trials: list[Trial], data: Data, rerounded: int = 0
) -> tuple[Parameters, torch.Tensor]:
    """Initial parameters of trials of one rule and shape, and vectors u (T, d) of W.

    In the precision and on the device of the data.
    """
    inputs, classes, dtype = data.x.shape[1], data.classes, data.dtype
    hidden, recurrent = trials[0].hidden, trials[0].rule != "bp"
    sizes = (inputs, hidden, classes, recurrent)
    size = Parameters(torch.empty(1, 2**30, device="meta"), *sizes).size
    parameters = Parameters(torch.zeros(len(trials), size, dtype=dtype), *sizes)
    parameters.b_o[:] = ABSENT
    u = torch.empty(len(trials), hidden, dtype=dtype)
    for place, trial in enumerate(trials):
        start = initial(trial, inputs, classes, rerounded)
        u[place] = start["u"]
        for name, view in parameters.views.items():
            value = start[name]
            view[place, ..., : value.shape[-1]] = value
    return parameters.over(parameters.flat.to(data.x.device)), u.to(data.x.device)
