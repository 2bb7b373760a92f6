"""Make the data of some units of a study of two stages: data/{block}.parquet.

One row a unit: the study's axes, and the arrays of its function `data`, flat. An array of several
dimensions has its shape beside it, as <name>_shape. An array that a unit does not have is null.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from scripts.lib.stage import stage
from scripts.lib.table_files import read_table, write_table
from scripts.spine.two_stage import LoadJob, TwoStage, two_stage, unit_of

SHAPE = "_shape"


def columns(study: TwoStage, job: LoadJob) -> dict[str, Any]:
    """The table of these units by column."""
    made = [study.module.data(unit_of(study, job, labels)) for labels in job.units]
    found: dict[str, Any] = dict(zip(study.axes, zip(*job.units, strict=True), strict=True))
    for name in dict.fromkeys(name for arrays in made for name in arrays):
        arrays = [np.asarray(arrays[name]) if name in arrays else None for arrays in made]
        there = [array for array in arrays if array is not None]
        kind = pa.list_(pa.from_numpy_dtype(there[0].dtype))
        found[name] = pa.array([a if a is None else a.ravel() for a in arrays], kind)
        if any(array.ndim != 1 for array in there):
            found[name + SHAPE] = [a if a is None else list(a.shape) for a in arrays]
    return found


def read_data(path: Path, axes: list[str]) -> dict[tuple, dict[str, np.ndarray]]:
    """Arrays by name of each unit in a data file; they may be written to."""
    table = read_table(path)
    shapes = [name for name in table.column_names if name.endswith(SHAPE)]
    names = [name for name in table.column_names if name not in (*axes, *shapes)]
    found = {}
    for row in range(len(table)):
        key = tuple(table[axis][row].as_py() for axis in axes)
        arrays = {
            name: table[name][row].values.to_numpy(zero_copy_only=False)
            for name in names
            if table[name][row].is_valid
        }
        for name in (name for name in shapes if table[name][row].is_valid):
            array = name.removesuffix(SHAPE)
            arrays[array] = arrays[array].reshape(table[name][row].as_py())
        found[key] = {name: array.copy() for name, array in arrays.items()}
    return found


def main(spec: LoadJob, data: Path) -> None:
    write_table(data, columns(two_stage(spec.study), spec))


if __name__ == "__main__":
    stage(main)
