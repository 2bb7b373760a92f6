"""What a study of two stages is written with: scripts/<study>/study.py imports all from here.

Such a study is one module and one YAML file. The module has

    Axes(Model)      what a unit is: a list of values by axis; replications come by themselves
    Settings(Model)  everything else that changes a number (may be left out)
    Options(Model)   what one arm may choose otherwise than another (may be left out)
    METRICS          kind of each metric: number, share (0 to 1), flag (0 or 1), list or label
    PHASES           names under which its arms book time, `unit.phases.lap(name)` (may be left out)
    TABLES           columns of further tables by name, beside the unit's axes (may be left out)
    DATA             keys of Settings that `data` reads (all, if left out): others reload nothing
    LOADED           keys of Settings that `data` alone reads, such as files (may be left out):
                     training is not told them, so it follows the data, and nothing else of them
    files(section)   files that `data` reads: an edited one is read again (may be left out)
    data(unit)       arrays of the unit, by name, from random streams or files
    evaluate(unit, answer)   metrics of what an arm returned (may be left out)
    RENAMED          old keys of the section: {old: place of the new one} (may be left out)
    LIMITS           what an overlay limits beside `axes` (scripts/lib/overlays.py; may be left out)
    own_data(section)   names of data that users brought (may be left out)
    check(section)   raises ConfigError for values that do not go together (may be left out)

and its implementations, functions of a unit that `@implementation` declares: they return what
`evaluate` takes, or the metrics themselves. `@implementation(stack=..., devices=...)` declares one
that takes several units at once, or can compute on a GPU (scripts/lib/implementations.py).
Snakemake reads the module, so what is slow to import is imported where it is used.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from scripts.lib.faults import ConfigError
from scripts.lib.implementations import implementation
from scripts.lib.overlays import Limit, at
from scripts.lib.seeds import key64, numpy_rng, stream
from scripts.lib.timing import Phases
from scripts.lib.typed import Model, Share, Text, setting, values

if TYPE_CHECKING:
    import torch

__all__ = [
    "ConfigError", "Failed", "Limit", "Model", "Share", "Text", "Unit",
    "at", "implementation", "setting", "values",
]  # fmt: skip


class Failed(ArithmeticError):
    """An implementation could not finish a unit: its row has status `failed` and no metric."""


@dataclass(frozen=True)
class Unit:
    """One row of the study: `labels` by axis, what is set, its data and its random streams.

    `settings` and `options` are the study's own models. A stream is addressed by the root seed, the
    labels and a name, so that arms share it and neither block nor order changes it. `phases` is
    the clock, which the units of a stack share; `device` where PyTorch shall compute, cpu or cuda.
    """

    study: str
    seed: int
    labels: dict[str, Any]
    settings: Any
    options: Any = None
    data: dict[str, np.ndarray] = field(default_factory=dict)
    phases: Phases = field(default_factory=Phases)
    device: str = "cpu"

    def __getitem__(self, axis: str) -> Any:
        """The label of an axis: unit["rep"]."""
        return self.labels[axis]

    @property
    def key(self) -> tuple:
        """What addresses the unit's streams."""
        return (self.seed, self.study, *self.labels.values())

    def rng(self, name: str) -> np.random.Generator:
        """NumPy generator (PCG64) on the unit's stream of this name."""
        return numpy_rng(*self.key, name)

    def counter_key(self, name: str) -> int:
        """Key of the unit's counter-based draws of this name (scripts/lib/counter_rng.py)."""
        return key64(stream(*self.key, name))

    def torch_rng(self, name: str) -> "torch.Generator":
        """PyTorch CPU generator on the unit's stream of this name."""
        from scripts.lib.torch_rng import torch_rng

        return torch_rng(*self.key, name)
