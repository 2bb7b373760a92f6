"""Train the units of one arm and block of a study of two stages: runs/{arm}/{block}.parquet.

One row a unit, and the study's further tables beside it. Finished units are kept under units/ and
reused by a job that needs them again. An implementation that takes a stack of units gets all of the
job that go together and are not finished.
"""

import contextlib
import importlib
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from scripts.lib.faults import ContractError
from scripts.lib.implementations import stack_of
from scripts.lib.own_study import Failed, Unit
from scripts.lib.progress import progress
from scripts.lib.run_rows import STATUSES, run_row, write_runs
from scripts.lib.spec import array_digest
from scripts.lib.stage import stage
from scripts.lib.table_files import write_table
from scripts.lib.timing import Phases
from scripts.lib.training_job import unit_seed
from scripts.lib.units import alone, finished, unit_folder
from scripts.spine.load import read_data
from scripts.spine.two_stage import TrainJob, TwoStage, two_stage, unit_of

Arrays = dict[str, np.ndarray]
Result = dict[str, Any]  # {"row": run row, <table>: its rows}
NUMBERS = ("number", "share", "flag")


def train_unit(study: TwoStage, job: TrainJob, labels: list, data: Arrays) -> Result:
    """{"row": run row, <table>: its rows} of one unit; a failed one has no metrics."""
    return train_together(study, job, [(labels, data)])[0]


def train_together(
    study: TwoStage, job: TrainJob, chosen: Sequence[tuple[list, Arrays]]
) -> list[Result]:
    """Results of units, as labels and data, that the implementation takes together, or of one.

    Each of several has an equal share of their time: `fit_s`, `cpu_s` and the phases are what a
    unit costs in such a stack, and it would cost more alone.
    """
    phases = Phases()
    units = [
        unit_of(study, job, labels, data=data, phases=phases, device=job.device)
        for labels, data in chosen
    ]
    function = study.implementations[job.implementation]
    phases.begin()
    try:
        answers = function(units) if stack_of(function) else [function(*units)]
    except Failed as error:
        answers = [error] * len(units)
    phases.end()
    cost = {name: seconds / len(units) for name, seconds in phases.columns().items()}
    pairs = zip(units, answers, strict=True)
    return [result_of(study, job, unit, answer, cost) for unit, answer in pairs]


def result_of(
    study: TwoStage, job: TrainJob, unit: Unit, answer: Any, cost: dict[str, float]
) -> Result:
    """Row and tables of a unit, from what an implementation returned or why it could not."""
    labels = list(unit.labels.values())
    row = run_row(job, study.axes, labels, unit_seed(job, labels))
    try:
        if isinstance(answer, Failed):
            raise answer
        start = time.perf_counter()
        found = study.evaluate(unit, answer)
    except Failed as error:
        logging.warning("%s %s failed: %s", job.arm, labels, error)
        return {"row": row | {"status": "failed"}} | {name: [] for name in study.tables}
    tables = {name: _rows(study, name, found.pop(name, [])) for name in study.tables}
    _check_metrics(study, found, unit.phases.seconds)
    return {"row": row | cost | found | {"eval_s": time.perf_counter() - start}} | tables


def _rows(study: TwoStage, table: str, rows: Any) -> list[list[Any]]:
    """Rows of a further table, if each has a value for each of its columns."""
    columns = study.tables[table]
    for row in rows:
        if not isinstance(row, list | tuple) or len(row) != len(columns):
            raise ContractError(
                f"{study.script}: a row of the table {table!r} is {row!r}; give a list of "
                f"{', '.join(columns)}."
            )
    return [list(row) for row in rows]


def _check_metrics(study: TwoStage, found: dict[str, Any], phases: Iterable[str]) -> None:
    """What a study did not announce could be named in no test and no table."""
    for name in found.keys() - {*study.metrics, "status"}:
        raise ContractError(f"{study.script}: METRICS is without {name!r}, which a unit has.")
    for name in set(phases) - set(study.phases):
        raise ContractError(f"{study.script}: PHASES is without {name!r}, which a unit has.")
    for name, kind in study.metrics.items():
        if kind in NUMBERS and not isinstance(found.get(name, 0), int | float | np.number | None):
            raise ContractError(
                f"{study.script}: {name} is {found[name]!r}, but its kind is {kind}."
            )
    if found.get("status", "ok") not in STATUSES:
        raise ContractError(
            f"{study.script}: status is {found['status']!r}; use one of {STATUSES}."
        )


def import_first(names: Iterable[str]) -> None:
    """Import modules, each named by itself or by something in it, before anything is timed."""
    for name in names:
        for module in (name, name.rpartition(".")[0]):
            with contextlib.suppress(ImportError, ValueError):
                importlib.import_module(module)
                break


def stacks(study: TwoStage, job: TrainJob, arrays: dict[tuple, Arrays]) -> list[list[list]]:
    """The units that are computed together, by their labels."""
    alike = stack_of(study.implementations[job.implementation])
    if job.processes > 1:
        return [job.units]
    if alike is None:
        return alone(job.units)
    found: dict[Any, list[list]] = {}
    for labels in job.units:
        unit = unit_of(study, job, labels, data=arrays[tuple(labels)])
        found.setdefault(alike(unit), []).append(labels)
    return list(found.values())


def computing(
    study: TwoStage, job: TrainJob, arrays: dict[tuple, Arrays]
) -> Callable[[list[list]], list[Result]]:
    """What computes such a stack."""
    if job.processes > 1:
        return lambda units: dealt_by_joblib(job, units, arrays)
    return lambda units: train_together(study, job, [(u, arrays[tuple(u)]) for u in units])


def dealt_by_joblib(job: TrainJob, units: list[list], arrays: dict[tuple, Arrays]) -> list[Result]:
    """A peer of our own processes: all units by joblib.

    Its processes are forked, so that, as in ours, the imports are paid already.
    """
    from joblib import Parallel, delayed

    parallel = Parallel(n_jobs=job.processes, backend="multiprocessing")
    return parallel(delayed(_alone)(job, unit, arrays[tuple(unit)]) for unit in units)


def _alone(job: TrainJob, labels: list, data: Arrays) -> Result:
    return train_unit(two_stage(job.study), job, labels, data)


def results(job: TrainJob, data: Path) -> list[Result]:
    """Row and tables of each unit of the job, from disk where it is finished already."""
    study = two_stage(job.study)
    arrays = read_data(data, study.axes)
    import_first(job.imports)

    def fingerprint(labels: list) -> str:
        return array_digest(*arrays[tuple(labels)].values())

    together, compute = stacks(study, job, arrays), computing(study, job, arrays)
    done = finished(together, compute, unit_folder(job), fingerprint)
    done = progress(done, len(job.units), job.arm)
    found = dict(zip(map(tuple, chain(*together)), done, strict=True))
    return [found[tuple(labels)] for labels in job.units]


def run(job: dict[str, Any], inputs: dict[str, list[Path]]) -> list[dict[str, Any]]:
    """Rows of the job's units, computed afresh: what `measure` times.

    Reading the data, and the imports, are in no contestant's time.
    """
    told = TrainJob.model_validate(job)
    study, arrays = two_stage(told.study), measured_data(told.study, *inputs["data"])
    import_first(told.imports)
    done = map(computing(study, told, arrays), stacks(study, told, arrays))
    rows = [result["row"] for result in chain.from_iterable(done)]
    if told.processes > 1:  # they share the units, and this is one call: as of the busiest
        rows = [row | {"fit_s": (row["fit_s"] or 0.0) / told.processes} for row in rows]
    return rows


@cache
def measured_data(study: str, path: Path) -> dict[tuple, Arrays]:
    """Data of all measured units, read once in a process."""
    return read_data(path, two_stage(study).axes)


def main(spec: TrainJob, data: Path, runs: Path, tables: list[Path]) -> None:
    study, done = two_stage(spec.study), results(spec, data)
    write_runs(runs, [result["row"] for result in done], study.axes)
    for path, (name, columns) in zip(tables, study.tables.items(), strict=True):
        rows = [
            [*labels, *row]
            for labels, result in zip(spec.units, done, strict=True)
            for row in result[name]
        ]
        names = [*study.axes, *columns]
        write_table(path, {name: [row[i] for row in rows] for i, name in enumerate(names)})


if __name__ == "__main__":
    stage(main)
