"""The root configuration, wildcard constraints, how a study is announced; no rules."""

import os
from functools import partial

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

from scripts.lib.code import parsed, stamps
from scripts.lib.config import check_sections, read_root, section_of
from scripts.lib.contract import check_planned
from scripts.lib.faults import ConfigError, LoadError
from scripts.lib.provenance import instruction_set
from scripts.lib.root import ours
from scripts.lib.spec import canonical
from scripts.lib.stage import call, put_this_python_first
from scripts.spine.cluster import gpus, gpus_of, megabytes, on_cluster, request
from scripts.spine.jobs import Jobs, announced
from scripts.spine.keys import Keys
from scripts.spine.requests import asked, overlay, threads_of_measurement
from scripts.spine.section import two_stage_section, two_stage_studies
from scripts.spine.two_stage import two_stage

put_this_python_first()

try:
    ROOT = read_root(config)
except ConfigError as error:
    raise WorkflowError(str(error)) from None

STUDIES = ROOT.studies
# For values that are no file of a rule; in paths write <results>.
RESULTS = ROOT.pathvars.results
# What each study announces, whether it is run or not (scripts/lib/contract.py).
STUDY = {}


def announce(name, model, study):
    """The checked section of a study: `study(section, seed, active)` makes it a Study."""
    active = name in STUDIES
    try:
        values = section_of(config, name), overlay(workflow, name)
        section, STUDY[name], said = asked(
            name, model, study, *values, ROOT, active, here=not on_cluster(workflow)
        )
    except (ConfigError, LoadError) as error:
        raise WorkflowError(str(error)) from None
    for sentence in said:
        logger.warning(sentence)
    return section


# Of the machine that plans: a cluster's nodes inherit it, so that they give files the same keys.
INSTRUCTIONS = os.environ.setdefault("ISOSPEED_INSTRUCTION_SET", instruction_set())


wildcard_constraints:
    study="[a-z0-9_]+",
    arm="[a-z0-9_]+",
    block="[a-z0-9-]+",
