"""What a job that trains one arm on some units is told."""

from collections.abc import Sequence
from typing import Any

from scripts.lib.typed import Model


class TrainingJob(Model):
    """Each study adds what else can change the numbers of its units.

    `units` has the labels of each, in the order of the study's axes; `seed` is the root of all
    random streams. `package`: the other package that a peer calls, with its version; else "".
    `device`: where it computes, cpu or cuda.
    """

    study: str
    arm: str
    seed: int
    units: list[Any]
    package: str = ""
    device: str = "cpu"


def unit_key(job: TrainingJob, unit: Sequence) -> tuple:
    """Root seed and labels of a unit's streams, which all arms share."""
    return (job.seed, job.study, *unit)


def unit_seed(job: TrainingJob, unit: Sequence) -> int:
    """The seed that a unit's run row states: that of its own stream."""
    from scripts.lib.seeds import seed63, stream

    return seed63(stream(*unit_key(job, unit)))
