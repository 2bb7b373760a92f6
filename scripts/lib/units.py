"""Finished units on disk: a killed, extended or regrouped job computes only what is missing."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

from scripts.lib.files import replacing


def finished(
    units: list[list], compute: Callable[[list], dict], folder: Path | None
) -> Iterator[dict]:
    """Yield the result of each unit, in order, from `folder` or from `compute(unit)`.

    A unit is a list of labels, its result a JSON object; floats survive the round trip bit for
    bit. `folder` must name all that can change a result (specification, code, versions): a
    result found there is trusted. Without a folder every unit is computed.
    """
    for unit in units:
        if folder is None:
            yield compute(unit)
            continue
        path = folder / ("_".join(str(label) for label in unit) + ".json")
        if not path.is_file():
            result = compute(unit)
            with replacing(path) as temporary:
                temporary.write_text(json.dumps(result), encoding="utf-8")
        yield json.loads(path.read_text(encoding="utf-8"))
