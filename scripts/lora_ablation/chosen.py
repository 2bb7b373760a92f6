"""Selections of a run, by the tensors that its adapters have: chosen and checked before any job."""

import logging
import re

from scripts.lib.config import check_member
from scripts.lib.faults import ConfigError
from scripts.lora_ablation.checks import check
from scripts.lora_ablation.data.families import DOWN, UP, is_half, selections, stem, usual
from scripts.lora_ablation.representations.catalogue import PAIR_FAMILIES, families
from scripts.lora_ablation.settings import LoraArm, Section
from scripts.lora_ablation.specs import STUDY


def chosen(section: Section, names: list[str] | None) -> Section:
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
        _check(name, offered, halved, f"{STUDY}.selections[{i}]")
    arms = {}
    for name, arm in section.arms.items():
        where = f"{STUDY}.arms.{name}"
        if section.runs_of(name) and arm.selection:
            if is_half(arm.selection) and not halved:
                arms[name] = _without_runs(name, arm)
            else:
                _check(arm.selection, offered, halved, f"{where}.selection")
    _check_pairs(section, names)
    own = {"selections": section.selections or usual(names), "arms": section.arms | arms}
    found = section.model_copy(update=own)
    check(found)
    return found


def _offered(section: Section, names: list[str]) -> tuple[list[str], bool]:
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


def _check(name: str, offered: list[str], halved: bool, where: str) -> None:
    if not (is_half(name) and halved):
        check_member(name, [*offered, *(["half0"] if halved else [])], where)


def _without_runs(name: str, arm: LoraArm) -> LoraArm:
    logging.warning("The arm %s is left out: of one module there is no half.", name)
    return arm.model_copy(update={"run": arm.run.model_copy(update={"runs": 0})})


def _check_pairs(section: Section, names: list[str]) -> None:
    """ConfigError if a representation of pairs is asked of weights that are none."""
    if all(name.endswith((DOWN, UP)) for name in names):
        return
    for name in section.representations:
        if set(families(name)) & set(PAIR_FAMILIES):
            raise ConfigError(
                f"Config: {STUDY}.representations has {name}, which is of pairs of down and up; "
                "the weights of this data source are no adapters, so take it out."
            )
