"""Validation of the root configuration, wildcard constraints, what studies announce; no rules."""

import os
from functools import partial

from snakemake.exceptions import WorkflowError

from scripts.lib.code import parsed, stamps
from scripts.lib.config import check_config, check_root, check_sections
from scripts.lib.contract import check_announced, check_contract, check_planned
from scripts.lib.faults import ConfigError, LoadError
from scripts.lib.plan import measurement_plan
from scripts.lib.provenance import instruction_set
from scripts.lib.spec import canonical
from scripts.lib.stage import put_this_python_first
from scripts.spine.keys import Keys

put_this_python_first()

try:
    check_root(config)
except ConfigError as error:
    raise WorkflowError(str(error)) from None

STUDIES = config["studies"]
# For values that are no file of a rule; in paths write <results>.
RESULTS = config["pathvars"]["results"]

# Each study's rule file adds its own entry to these:
# {study: columns that name a unit, the replicate last}
AXES = {}
# {study: kind of each metric of its rows: number, flag, list or label}, {study: phases it times}
METRICS, PHASES = {}, {}
# {study: run files}
RUNS = {}
# {study: data files, measured script, what plans the measurement once its names are checked, and
# the kernel where code is compiled}
MEASURED = {}
# {study: further tables (CSV) and files of figures (JSON of SVG texts) for its chapter}
CHAPTERS = {}


# Of the machine that plans: a cluster's nodes inherit it, so that they give files the same keys.
INSTRUCTIONS = os.environ.setdefault("ISOSPEED_INSTRUCTION_SET", instruction_set())


wildcard_constraints:
    study="[a-z_]+",
    arm="[a-z0-9_]+",
    block="[a-z0-9-]+",
