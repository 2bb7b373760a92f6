"""What of the configuration must go together: names that exist, keys that an arm reads, sizes."""

import os

from scripts.deep_gpcm.options import Generated
from scripts.deep_gpcm.settings import Classical, Folds, GpcmArm, GpcmWorkload, Section, Steps
from scripts.deep_gpcm.specs import STUDY
from scripts.lib.config import check_idle, check_member, check_size, differing
from scripts.lib.contract import check_rounds
from scripts.lib.faults import ConfigError
from scripts.lib.sections import Arm
from scripts.lib.sentences import told

# Jobs and files of folds.
FILES = 1_000
# Of the keys of an arm that say how the model is computed, those that an evaluation reads.
COMPUTED = ("memory", "heads", "inference")
READ = {"stepwise": (), "hoisted": ("memory",), "tables": COMPUTED}
# What the trainer `stacked` can be told (scripts/deep_gpcm/models/stack.py).
STACKED = {
    "evaluation": ("tables",), "memory": ("function", "triton"), "heads": ("eager",),
    "step": ("fused",), "train.accumulate": (1,), "train.padding": ("none",),
    "train.zero_id": (False,), "train.autocast": (False,),
}  # fmt: skip


def check(section: Section) -> None:
    """Raise ConfigError with one sentence for the first fault of the section."""
    if section.folds == 1:
        raise ConfigError(f"Config: {STUDY}.folds is 1: nobody would train; use 0 or 2.")
    for name in section.data:
        check_member(name, section.sources, f"{STUDY}.data")
    for name, other in section.comparison.items():
        check_member(name, section.sources, f"{STUDY}.comparison: data set")
        check_member(other, section.sources, f"{STUDY}.comparison.{name}")
    for name, source in section.sources.items():
        if isinstance(source, Generated) and source.lengths[0] >= source.lengths[1]:
            raise ConfigError(
                f"Config: {STUDY}.sources.{name}.lengths is {source.lengths}; the first must be "
                "smaller."
            )
    for name, arm in section.arms.items():
        _check_arm(f"{STUDY}.arms.{name}", section, arm)
        if arm.trainer == "stacked" and not section.idle(name):
            _check_stacked(f"{STUDY}.arms.{name}", section, arm)
    for name in section.with_role("result"):
        if list(section.folds_of(name)) != section.active:
            raise ConfigError(
                f"Config: {STUDY}.arms.{name}.run must have all data sets: {name} is the result."
            )
    _check_sizes(section)
    for name, workload in section.measure.workloads.items():
        _check_workload(f"{STUDY}.measure.workloads.{name}", section, workload)


def _check_arm(where: str, section: Section, arm: GpcmArm) -> None:
    if (arm.evaluation is None) == (arm.baseline is None):
        raise ConfigError(f"Config: {where} must have either an evaluation or a baseline.")
    others = arm.model_fields_set - {*Arm.model_fields, "baseline", "run"}
    if arm.baseline and others:
        raise ConfigError(
            f"Config: {where} is a baseline, which takes no other key, as {min(others)}."
        )
    if arm.evaluation:
        _check_network(where, section, arm)
    for name in arm.run.data or ():
        check_member(name, section.sources, f"{where}.run.data")
    if (arm.run.folds or 0) > section.fold_count:
        raise ConfigError(f"Config: {where}.run.folds is {arm.run.folds}, more than folds.")


def _check_network(where: str, section: Section, arm: GpcmArm) -> None:
    """Raise ConfigError for an option that the arm's evaluation or loader does not read."""
    own = {key: getattr(arm, key) for key in COMPUTED}
    own = {key: value for key, value in own.items() if value != GpcmArm.model_fields[key].default}
    check_idle(own, READ[arm.evaluation], where, f"with the evaluation {arm.evaluation}")
    if arm.memory == "triton" and arm.package != "triton":
        raise ConfigError(
            f"Config: {where}.memory is triton, which not every environment has; say so by "
            "package: triton."
        )
    changes = differing(arm.train, section.train)
    if arm.loader != "lists":
        read = changes.keys() - {"workers"}
        check_idle(changes, read, f"{where}.train", f"with the loader {arm.loader}")


def _check_stacked(where: str, section: Section, arm: GpcmArm) -> None:
    """Raise ConfigError for what a network is not, whose folds are trained side by side."""
    train = section.train.model_dump() | differing(arm.train, section.train)
    asked = {f"train.{key}": value for key, value in train.items()} | dict(arm)
    for key, can in STACKED.items():
        if asked[key] not in can:
            raise ConfigError(
                f"Config: {where}.trainer is stacked, for which {key} must be "
                f"{' or '.join(map(told, can))}, not {told(asked[key])}."
            )


def check_interpreter(section: Section) -> None:
    """Raise ConfigError where a kernel for a GPU would run on the CPU without being interpreted."""
    for name, arm in section.arms.items():
        kernels = arm.memory == "triton" and not section.idle(name)
        there = section.device_asked(name) == "cuda"
        if kernels and not there and not interpreted():
            raise ConfigError(
                f"Config: {STUDY}.arms.{name}.memory is triton, whose kernels are for a GPU (device"
                " cuda); with TRITON_INTERPRET=1 in the environment Triton interprets them on this "
                "CPU, slowly."
            )
        if kernels and there and interpreted():
            raise ConfigError(
                f"Config: {STUDY}.arms.{name}.memory is triton and its device cuda, but with "
                "TRITON_INTERPRET=1 in the environment kernels run on the CPU; take it out."
            )


def interpreted() -> bool:
    """Whether Triton is told to interpret kernels, not to compile them."""
    return os.environ.get("TRITON_INTERPRET", "").lower() in ("1", "true", "on", "y", "yes")


def _check_sizes(section: Section) -> None:
    jobs = sum(
        -(-count // (arm.run.block or section.block))
        for name, arm in section.arms.items()
        for count in section.folds_of(name).values()
    )
    check_size(jobs, FILES, "jobs", f"{STUDY}.arms", "ask for fewer folds or use larger blocks")
    files = section.fold_count * max(1, len(section.measured_data()))
    check_size(files, 2 * FILES, "files of folds to measure on", f"{STUDY}.folds", "ask for fewer")


def _check_workload(where: str, section: Section, workload: GpcmWorkload) -> None:
    check_member(workload.data, section.sources, f"{where}.data")
    check_member(workload.where, section.sources, f"{where}.where")
    for name in section.taking_part(workload) if workload.rounds else ():
        contestant = section.contestants.get(name)
        arm = section.arms.get(contestant.arm) if contestant else None
        kind, fault = "evaluation", "trains nothing"
        if isinstance(workload, Classical):
            kind, fault = "baseline", "is no classical model"
        if arm and arm.trainer == "stacked" and isinstance(workload, Steps):
            raise ConfigError(
                f"Config: {where} measures {name}, whose folds are trained side by side: a step of "
                "one fold is not what it does; measure whole folds (work: folds)."
            )
        if arm and getattr(arm, kind) is None:
            raise ConfigError(
                f"Config: {where} measures {name}, but the arm {contestant.arm} {fault}."
            )
    check_rounds(where, workload, section.fold_count if isinstance(workload, Folds) else 1)
