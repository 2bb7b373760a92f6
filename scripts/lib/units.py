"""Finished units on disk: a killed, extended or regrouped job computes only what is missing."""

import json
import logging
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from scripts.lib.files import replacing
from scripts.lib.job import JOB
from scripts.lib.provenance import computing_versions, instruction_set
from scripts.lib.seals import with_checksum, without_checksum
from scripts.lib.spec import digest
from scripts.lib.training_job import TrainingJob

U = TypeVar("U")


def unit_folder(spec: TrainingJob) -> Path | None:
    """Where the running job keeps its units: a folder named for all that they have in common.

    That is the specification but for its `units`, the code, the versions of packages, the threads
    and the instructions of the processor, and the GPU where there is one, which decide in what
    order sums are taken. None where no job runs.
    """
    if not JOB.results:
        return None
    shared = spec.model_dump(mode="json", exclude={"units"})
    name = digest(shared, JOB.code, computing_versions(), JOB.threads, instruction_set(spec.device))
    return Path(JOB.results, spec.study, "units", spec.arm, name)


def finished(
    stacks: Iterable[list[list]],
    compute: Callable[[list[list]], list[dict]],
    folder: Path | None,
    data: Callable[[list], str],
) -> Iterator[dict]:
    """Yield the result of each unit of each stack, in order, from `folder` or from `compute`.

    A unit is a list of labels, its result a JSON object; floats survive the round trip bit for bit.
    The units of a stack are computed together: those that are missing, when it is their turn, and
    kept together. `folder` names all that the units share, `data(unit)` is the digest of the data
    that the unit is computed from, as they were read: whatever changed them on the way, another
    digest is another unit. A damaged file is computed again. Without a folder all are computed.
    """
    for stack in stacks:
        if folder is None:
            yield from compute(stack)
            continue
        paths = [_path(folder, unit, data) for unit in stack]
        found = [_read(path) for path in paths]
        missing = [at for at, result in enumerate(found) if result is None]
        computed = compute([stack[at] for at in missing]) if missing else []
        for at, result in zip(missing, computed, strict=True):
            _write(paths[at], result)
            found[at] = _read(paths[at])
        yield from found


def alone(units: Iterable[U]) -> list[list[U]]:
    """Stacks of one unit each."""
    return [[unit] for unit in units]


def _path(folder: Path, unit: list, data: Callable[[list], str]) -> Path:
    """Where the result of a unit is kept."""
    labels = "_".join(str(label) for label in unit)
    return folder / f"{labels}-{data(unit)}.json"


def _write(path: Path, result: dict) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(with_checksum(json.dumps(result).encode()))


def _read(path: Path) -> dict | None:
    """The result in a file; None if there is none or it is damaged."""
    if not path.is_file():
        return None
    if (content := without_checksum(path.read_bytes())) is None:
        logging.warning("%s is damaged; the unit is computed again.", path)
        return None
    return json.loads(content)
