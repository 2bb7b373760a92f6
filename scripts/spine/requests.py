"""What a call of Snakemake asks for: which values are its own, and whether it measures."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from snakemake.exceptions import ResourceValidationError

from scripts.lib.config import Root, read_settings
from scripts.lib.contract import Study, check_contract, check_measured
from scripts.lib.devices import chosen
from scripts.lib.faults import ConfigError
from scripts.lib.overlays import fitted, sentence
from scripts.lib.packages import left_out, missing, set_aside, without
from scripts.lib.plan import PlannedWorkload
from scripts.lib.sections import StudySettings
from scripts.spine.cluster import threads_alone

S = TypeVar("S", bound=StudySettings)


def overlay(workflow: Any, study: str) -> Any:
    """What --configfile and --config say of a study; None if nothing."""
    return workflow.config_settings.overwrite_config.get(study)


def asked(
    name: str,
    model: type[StudySettings],
    study: Callable[[StudySettings, int, bool], Study],
    section: Any,
    own: Any,
    root: Root,
    active: bool,
    here: bool,
) -> tuple[StudySettings, Study, list[str]]:
    """The section of a study as this call asks for it, the Study, and what has to be said of them.

    `own` is the overlay's part of the section; `here`: jobs run on this machine. ConfigError or
    LoadError, of one sentence, for what cannot be. What is left out is checked all the same: a
    section is right or wrong everywhere.
    """
    seed = root.seed
    values, changed = fitted(section, own, model.limits)
    settings = placed(read_settings(model, values, name), name, root, active and here)
    aside = set_aside(settings, name)
    absent = {arm: needed for arm, needed in missing(settings).items() if arm not in aside}
    # Who is off anyway misses nothing.
    told = left_out(name, {arm: needed for arm, needed in absent.items() if not settings.idle(arm)})
    if absent or aside:
        check_contract(study(settings, seed, False))
        settings = without(settings, [*absent, *aside])
    found = replace(study(settings, seed, active), left_out=told)
    check_contract(found)
    said = [told, sentence(name, changed) if changed else ""]
    return settings, found, [words for words in said if words and active]


def placed(settings: S, name: str, root: Root, here: bool) -> S:
    """The section with the device that the key of each arm, of the study or of all studies comes to
    on this machine.

    ConfigError where that is a GPU which is not there, if jobs of the study run `here`.
    """
    where = "device" if settings.device is None else f"{name}.device"
    device = chosen(settings.device or root.device, where, here)
    arms = {}
    for arm, told in settings.arms.items():
        own = chosen(told.device, f"{name}.arms.{arm}.device", here) if told.device else device
        arms[arm] = told.model_copy(update={"device": own})
    return settings.model_copy(update={"device": device, "arms": arms})


def threads_of_measurement(workflow: Any, study: Study, plan: list[PlannedWorkload]) -> int:
    """Threads of a study's measurement, if it can be made; else an error of one sentence.

    Snakemake asks where a call comes to measure: who asks for the answers alone is not refused.
    """
    try:
        check_measured(study, plan)
    except ConfigError as error:
        raise ResourceValidationError(str(error)) from None
    return threads_alone(workflow, plan)
