"""A study of two stages: which units there are, which job computes which, what is measured."""

import math
from functools import cached_property
from itertools import product
from typing import Any

from scripts.lib.blocks import cut
from scripts.lib.code import device_of, imports, stamps
from scripts.lib.config import JOBS, UNITS, check_member, check_size, read_settings
from scripts.lib.contract import Study, check_rounds
from scripts.lib.faults import ConfigError
from scripts.lib.foreign import marks
from scripts.lib.packages import package_of
from scripts.lib.plan import measurement_plan
from scripts.lib.sentences import told
from scripts.lib.typed import Model
from scripts.spine.two_stage import LoadJob, TrainJob, TwoStage


def blocks(reps: int, size: int) -> dict[str, list[int]]:
    """Replications by block name, e.g. {"reps-000-004": [0, 1, 2, 3, 4], ...}.

    A block is a fixed range of replications, so raising `reps` leaves full blocks alone.
    """
    return {f"reps-{r[0]:03d}-{r[-1]:03d}": list(r) for r in cut(range(reps), size)}


class Jobs:
    """Which units there are, which job computes which, and all that a job needs to know."""

    def __init__(self, study: TwoStage, section: Any, seed: int):
        self.study, self.section, self.seed = study, section, seed
        self.blocks = blocks(section.reps, section.block)
        self.folder = f"<results>/{study.name}"

    def units(self, limits: Any, reps: list[int]) -> list[list]:
        """Labels of all units among these replications, limited as an arm or a workload says."""
        axes = self.study.axes[:-1]
        values = [getattr(limits, axis) or getattr(self.section.axes, axis) for axis in axes]
        return [list(unit) for unit in product(*values, reps)]

    def of_arm(self, arm: str, reps: list[int]) -> list[list]:
        """An arm's units among these replications."""
        limits = self.section.arms[arm].run
        most = self.section.reps if limits.reps is None else limits.reps
        return self.units(limits, [rep for rep in reps if rep < most])

    def called(self, arm: str) -> str:
        """The implementation that an arm calls."""
        return self.section.arms[arm].implementation or arm

    def device(self, arm: str) -> str:
        """Where an arm's jobs compute: where its section says, if its implementation can."""
        return device_of(self.section.device_asked(arm), self.study.script, self.called(arm))

    def arm_blocks(self) -> list[tuple[str, str]]:
        """(arm, block) of every job that has at least one unit, in the order of the arms."""
        pairs = product(self.section.arms, self.blocks)
        return [(arm, name) for arm, name in pairs if self.of_arm(arm, self.blocks[name])]

    def table_files(self, table: str) -> list[str]:
        """Files of a further table of the study, of all arms and blocks."""
        return [f"{self.folder}/{table}/{arm}/{name}.parquet" for arm, name in self.arm_blocks()]

    def settings(self, changes: dict[str, Any], at: str) -> dict[str, Any]:
        """Values of the study's own settings, some of them changed."""
        if not changes:
            return self._own
        return plain(read_settings(self.study.train_settings, merged(self._own, changes), at))

    @cached_property
    def _own(self) -> dict[str, Any]:
        model = self.study.train_settings
        values = {name: plain(getattr(self.section, name)) for name in model.model_fields}
        return plain(read_settings(model, values, self.study.name))

    def train(self, arm: str, block: str) -> TrainJob:
        """The job that trains one arm on one block."""
        return self._train(arm, self.of_arm(arm, self.blocks[block]), {}, "")

    def _train(self, arm: str, units: list[list], changes: dict[str, Any], at: str) -> TrainJob:
        return TrainJob(
            study=self.study.name,
            arm=arm,
            seed=self.seed,
            units=units,
            package=package_of(self.section, arm),
            device=self.device(arm),
            implementation=self.called(arm),
            imports=imports(self.study.script, self.called(arm)),
            settings=self.settings(changes, at),
            options=plain(self.section.arms[arm].options),
            processes=self.section.arms[arm].processes,
        )

    def load(self, block: str) -> LoadJob:
        """The job that makes a data file: the units of a block, or those of "measured"."""
        measured = block == "measured"
        units = self.measured() if measured else self.units(self.section.axes, self.blocks[block])
        read = self.study.data_settings.model_fields
        settings = {name: plain(getattr(self.section, name)) for name in read}
        return LoadJob(
            study=self.study.name,
            seed=self.seed,
            settings=settings,
            units=units,
            files=marks(self.study.files(self.section)),
        )

    def stamps(self, arm: str) -> list[str]:
        """Code of an arm's jobs: the other implementations of the study do not count."""
        script, called = self.study.script, self.called(arm)
        return stamps("scripts/spine/train.py", script, only=(called,))

    def round(self, workload: Any, number: int) -> list[list]:
        """Units of a measured round, the same for all contestants: a fresh replication each."""
        return self.units(workload, [number])

    def measured(self) -> list[list]:
        """Every unit that the measurement trains."""
        trained = {
            tuple(unit)
            for workload in self.section.measure.workloads.values()
            for number in workload.numbers
            for unit in self.round(workload, number)
        }
        return [list(unit) for unit in sorted(trained)]

    def timed(self, arm: str, workload: Any) -> TrainJob:
        """An arm's job in a measured workload, without units."""
        workloads = self.section.measure.workloads
        name = next(name for name, entry in workloads.items() if entry is workload)
        at = f"{self.study.name}.measure.workloads.{name}.settings"
        return self._train(arm, [], workload.settings, at)


def plain(value: Any) -> Any:
    """A model, or a mapping of models, as plain values; other values as they are."""
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    return value.model_dump(mode="json") if isinstance(value, Model) else value


def merged(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Values with some of them changed, mappings key by key."""
    both = values.keys() & changes.keys()
    inner = [k for k in both if isinstance(values[k], dict) and isinstance(changes[k], dict)]
    return values | changes | {k: merged(values[k], changes[k]) for k in inner}


def announced(study: TwoStage, section: Any, seed: int, active: bool) -> Study:
    """The study as the spine knows it; ConfigError with one sentence for what cannot be.

    What is planned is told only if the study is `active`.
    """
    _check(study, section)
    axes = {axis: getattr(section.axes, axis) for axis in study.axes[:-1]}
    known: dict[str, Any] = {"name": study.name, "settings": section, "axes": study.axes}
    known |= {"metrics": study.metrics, "phases": [*study.phases, "eval"], "values": axes}
    if not active:
        return Study(**known)
    jobs = Jobs(study, section, seed)
    if study.draws:
        known |= {"drawn": {table: jobs.table_files(table) for table in study.tables}}
        known |= {"chapter": [f"{jobs.folder}/tables/figures.json"]}
    return Study(
        **known,
        runs=[f"{jobs.folder}/runs/{arm}/{block}.parquet" for arm, block in jobs.arm_blocks()],
        data={"data": [f"{jobs.folder}/data/measured.parquet"]},
        script="scripts/spine/train.py",
        code=(study.script,),
        plan=lambda: measurement_plan(section, jobs.round, jobs.timed),
    )


def _check(study: TwoStage, section: Any) -> None:
    at = study.name
    for name, arm in section.arms.items():
        where, key = f"{at}.arms.{name}", "implementation"
        check_member(getattr(arm, key) or name, study.implementations, f"{where}.{key}")
        _check_limits(f"{where}.run", study, section, arm.run)
        if (arm.processes > 1) != (arm.package == "joblib"):
            raise ConfigError(
                f"Config: {where}.processes is {arm.processes}; several are for the peer that has "
                "the package joblib, and it needs them."
            )
    _check_sizes(at, study, section)
    for name, workload in section.measure.workloads.items():
        _check_workload(f"{at}.measure.workloads.{name}", study, section, workload)
    if check := getattr(study.module, "check", None):
        check(section)


def _check_limits(where: str, study: TwoStage, section: Any, limits: Any) -> None:
    """An arm computes units of the study."""
    for axis in study.axes[:-1] if limits.reps != 0 else ():
        for value in getattr(limits, axis) or ():
            known = getattr(section.axes, axis)
            if value not in known:
                raise ConfigError(
                    f"Config: {where}.{axis} has {told(value)}, which is not in {study.name}.axes."
                    f"{axis}."
                )


def _check_sizes(at: str, study: TwoStage, section: Any) -> None:
    """A job is told its units one by one, and blocks are counted before they are made."""
    size = section.block
    cells = math.prod(len(getattr(section.axes, axis)) for axis in study.axes[:-1])
    check_size(
        cells * min(size, section.reps), UNITS, "units in a job", f"{at}.block",
        "use smaller blocks",
    )  # fmt: skip
    limits = [arm.run.reps for arm in section.arms.values()]
    wanted = [section.reps if most is None else min(most, section.reps) for most in limits]
    jobs = sum(-(-reps // size) for reps in wanted)
    check_size(jobs, JOBS, "jobs", f"{at}.reps", "ask for fewer or use larger blocks")


def _check_workload(where: str, study: TwoStage, section: Any, workload: Any) -> None:
    """A workload is short enough to be told, on data and in a part that the study has."""
    if workload.where:
        strata = getattr(section.axes, section.agreement.strata, ())
        check_member(workload.where, map(str, strata), f"{where}.where")
    for key in study.data_settings.model_fields.keys() & workload.settings.keys():
        raise ConfigError(
            f"Config: {where}.settings.{key} would change the data, which all workloads share; "
            f"change it for all, {study.name}.{key}, or name in DATA of study.py what the data do "
            "depend on."
        )
    # Also of a workload that is switched off: it is right or wrong everywhere.
    Jobs(study, section, 0).settings(workload.settings, f"{where}.settings")
    cells = (getattr(workload, axis) or getattr(section.axes, axis) for axis in study.axes[:-1])
    check_rounds(where, workload, math.prod(map(len, cells)))
