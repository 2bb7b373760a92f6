"""What a call of Snakemake asks for: which values are its own, and whether it measures."""

from typing import Any

from snakemake.exceptions import ResourceValidationError

from scripts.lib.contract import Study, check_measured
from scripts.lib.faults import ConfigError
from scripts.lib.plan import PlannedWorkload
from scripts.spine.cluster import threads_alone


def overlay(workflow: Any, study: str) -> Any:
    """What --configfile and --config say of a study; None if nothing."""
    return workflow.config_settings.overwrite_config.get(study)


def threads_of_measurement(workflow: Any, study: Study, plan: list[PlannedWorkload]) -> int:
    """Threads of a study's measurement, if it can be made; else an error of one sentence.

    Snakemake asks where a call comes to measure: who asks for the answers alone is not refused.
    """
    try:
        check_measured(study, plan)
    except ConfigError as error:
        raise ResourceValidationError(str(error)) from None
    return threads_alone(workflow, plan)
