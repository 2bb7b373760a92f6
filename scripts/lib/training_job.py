"""What a job that trains one arm on some units is told."""

from typing import Any

from scripts.lib.typed import Model


class TrainingJob(Model):
    """Each study adds what else can change the numbers of its units.

    `units` has the labels of each, in the order of the study's axes; `seed` is the root of all
    random streams.
    """

    study: str
    arm: str
    seed: int
    units: list[Any]
