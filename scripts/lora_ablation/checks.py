"""What of the configuration must go together: names that exist, sizes that can be planned.

`chosen` looks at the adapters too: which selections they have decides which a run has.
"""

import logging
import re
from typing import TYPE_CHECKING

from scripts.lib.config import JOBS, UNITS, check_idle, check_member, check_size, differing
from scripts.lib.contract import check_rounds
from scripts.lib.faults import ConfigError
from scripts.lora_ablation.data.families import (
    DOWN,
    FAMILIES,
    TEXT_ENCODER,
    UP,
    is_half,
    selections,
    stem,
    usual,
)
from scripts.lora_ablation.representations.catalogue import (
    HAND_CRAFTED,
    PAIR_FAMILIES,
    REPRESENTATIONS,
    families,
)
from scripts.lora_ablation.specs import EARLY, STUDY

if TYPE_CHECKING:
    from scripts.lora_ablation.settings import LoraArm, LoraWorkload, Section

WEIGHTS = "flat_vec"  # the representation that is the tensor store itself
SPECTRA = ("svdvals", "weightwatcher")  # ways to features that compute one representation
# Options of training that the trainer `reference` alone reads.
GUIDE = ("normalise", "autocast", "script", "workers", "precision")
SHARDS = 1_000  # each with a job and a file for every family


def check(section: "Section") -> None:
    """Raise ConfigError with one sentence for the first value that does not go with another."""
    check_member(section.source, section.sources, f"{STUDY}.source")
    for name in section.representations:
        check_member(name, [*REPRESENTATIONS, WEIGHTS], f"{STUDY}.representations")
    for name in section.early.representations:
        check_member(name, section.representations, f"{STUDY}.early.representations")
    for name in section.curves.representations:
        check_member(name, section.representations, f"{STUDY}.curves.representations")
    _check_layers(f"{STUDY}.layers", section)
    for arm in section.arms:
        _check_arm(f"{STUDY}.arms.{arm}", section, arm)
    if section.with_role("reference"):  # else the contract says so
        _check_sizes(section)
        _check_prepare(section)
    for name, workload in section.measure.workloads.items():
        _check_workload(f"{STUDY}.measure.workloads.{name}", section, workload)


def _check_arm(where: str, section: "Section", name: str) -> None:
    arm = section.arms[name]
    for value in arm.represents or ():
        check_member(value, HAND_CRAFTED, f"{where}.represents")
    if arm.features in SPECTRA and arm.represents != ["spectral"]:
        raise ConfigError(
            f"Config: {where}.represents must be [spectral], all that {arm.features} computes."
        )
    section.train_of(name)
    changes = differing(arm.train, section.train)
    if arm.trainer is None:
        check_idle(changes, (), f"{where}.train", "without a trainer")
    elif arm.trainer != "reference":
        read = changes.keys() - set(GUIDE)
        check_idle(changes, read, f"{where}.train", f"with the trainer {arm.trainer}")
    if arm.trainer is None and "run" in arm.model_fields_set and arm.run.runs != 0:
        raise ConfigError(f"Config: {where}.run is to train cells, but the arm has no trainer.")
    for key in ("representations", "selections") if section.runs_of(name) else ():
        known = getattr(section, key) or known_selections(section)
        if key == "selections":
            known = list(dict.fromkeys(["all", *known]))  # of any adapter, asked for or not
        for value in getattr(arm.run, key) or ():
            check_member(value, known, f"{where}.run.{key}")
    if arm.train.precision == "double" and arm.features not in (None, "loops"):
        raise ConfigError(
            f"Config: {where}.train.precision has no effect on the features {arm.features}; use "
            "loops, or take it out."
        )
    if section.runs_of(name) > section.runs:
        raise ConfigError(f"Config: {where}.run.runs is {arm.run.runs}, more than runs.")


def _check_layers(where: str, section: "Section") -> None:
    """Patterns are regular expressions under free names; selections are known by name."""
    for name, pattern in section.layers.items():
        if name == "all" or is_half(name):
            raise ConfigError(f"Config: {where}.{name} is another selection's name; use another.")
        try:
            re.compile(pattern)
        except re.error as error:
            raise ConfigError(
                f"Config: {where}.{name} is {pattern!r}, which is no regular expression ({error})."
            ) from error
    for i, name in enumerate(section.selections or ()):
        if not is_half(name):
            check_member(name, known_selections(section), f"{STUDY}.selections[{i}]")


def known_selections(section: "Section") -> list[str]:
    """All selections that adapters of any family may have, and the user's own."""
    own = [name for kind in FAMILIES for name in kind.selections]
    return list(dict.fromkeys(["all", *own, TEXT_ENCODER, *section.layers, "half0"]))


def _check_sizes(section: "Section") -> None:
    """The result arm trains something, and there are not too many cells or runs to tell."""
    result = section.result
    if not section.cells(result):
        raise ConfigError(
            f"Config: {STUDY}.arms.{result}.run trains nothing, but {result} is the result of "
            "the study."
        )
    cells = sum(len(section.cells(name)) for name in section.arms)
    check_size(cells, JOBS, "cells of all arms", f"{STUDY}.arms", "ask for fewer")
    runs = len(section.cells(result)) * section.runs_of(result)
    check_size(runs, UNITS, "runs of the result arm", f"{STUDY}.runs", "ask for fewer")


def _check_prepare(section: "Section") -> None:
    where = f"{STUDY}.prepare.arms"
    for arm in section.prepare.arms or ():
        check_member(arm, section.arms, where)
        if not (section.arms[arm].load or section.arms[arm].features):
            raise ConfigError(
                f"Config: {where} has {arm}, which neither loads nor computes features."
            )
    if section.reference not in section.prepared:
        raise ConfigError(
            f"Config: {where} is without {section.reference}, with which others are compared."
        )


def _check_workload(where: str, section: "Section", workload: "LoraWorkload") -> None:
    if workload.rounds and workload.where:
        stages = ["load", *section.stages, EARLY, "train"]
        check_member(workload.where, stages, f"{where}.where")
    known = section.contestants
    for name in section.taking_part(workload) if workload.rounds else workload.contestants or ():
        arm = known[name].arm if name in known else None  # the contract says what is wrong
        if arm in section.arms and getattr(section.arms[arm], workload.stage) is None:
            raise ConfigError(
                f"Config: {where} measures {name}, but the arm {arm} has no {workload.stage}."
            )
        if arm in section.arms and workload.work == "features" and section.arms[arm].represents:
            raise ConfigError(
                f"Config: {where} measures {name}, whose arm {arm} does not compute everything."
            )
        if arm in section.arms and workload.ways:
            own = getattr(section.arms[arm], workload.stage)
            check_member(own, workload.ways, f"{where}: {workload.stage} of the contestant {name}")
    check_rounds(where, workload, workload.units())
    # What is not measured need not be there, and the work `total` makes its features itself.
    known = section.representations if workload.rounds else [*REPRESENTATIONS, WEIGHTS]
    known = REPRESENTATIONS if workload.work == "total" else known
    for name in getattr(workload, "representations", ()):
        check_member(name, known, f"{where}.representations")


def check_shards(shards: int) -> None:
    """Raise ConfigError if the adapters are too many shards."""
    remedy = "use larger shards or fewer adapters"
    check_size(shards, SHARDS, "shards", f"{STUDY}.shard", remedy)


def chosen(section: "Section", names: list[str] | None) -> "Section":
    """The section for adapters with tensors of these names, with the selections that they have.

    Those that are usual for the family, where none are asked for. `names` is None where the data
    are not here yet. ConfigError for a selection without tensors, and for numbers of pairs where
    there are none.
    """
    if names is None:
        if section.selections is None:
            raise ConfigError(
                f"Config: {STUDY}.selections must be given, such as [all, half0], because adapters "
                "on the hub are looked at only when they are downloaded."
            )
        return section
    offered, halved = _offered(section, names)
    for i, name in enumerate(section.selections or ()):
        _check_selection(name, offered, halved, f"{STUDY}.selections[{i}]")
    arms = {}
    for name, arm in section.arms.items():
        where = f"{STUDY}.arms.{name}"
        if section.runs_of(name) and arm.selection:
            if is_half(arm.selection) and not halved:
                arms[name] = _without_runs(name, arm)
            else:
                _check_selection(arm.selection, offered, halved, f"{where}.selection")
    _check_pairs(section, names)
    own = {"selections": section.selections or usual(names), "arms": section.arms | arms}
    found = section.model_copy(update=own)
    check(found)
    return found


def _offered(section: "Section", names: list[str]) -> tuple[list[str], bool]:
    """Selections that have a tensor, and whether there are modules enough for a random half."""
    modules = list(dict.fromkeys(map(stem, names)))
    own = [
        name
        for name, pattern in section.layers.items()
        if any(re.search(pattern, module) for module in modules)
    ]
    known = selections(names)
    network = [module for module in modules if re.search(known["all"], module)]
    return list(dict.fromkeys([*known, *own])), len(network) > 1


def _check_selection(name: str, offered: list[str], halved: bool, where: str) -> None:
    if not (is_half(name) and halved):
        check_member(name, [*offered, *(["half0"] if halved else [])], where)


def _without_runs(name: str, arm: "LoraArm") -> "LoraArm":
    logging.warning("The arm %s is left out: of one module there is no half.", name)
    return arm.model_copy(update={"run": arm.run.model_copy(update={"runs": 0})})


def _check_pairs(section: "Section", names: list[str]) -> None:
    """ConfigError if a representation of pairs is asked of weights that are none."""
    if all(name.endswith((DOWN, UP)) for name in names):
        return
    for name in section.representations:
        if set(families(name)) & set(PAIR_FAMILIES):
            raise ConfigError(
                f"Config: {STUDY}.representations has {name}, which is of pairs of down and up; "
                "the weights of this data source are no adapters, so take it out."
            )
