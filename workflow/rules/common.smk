"""Validation, wildcard constraints and the list of run files; no rules."""

import os
import sys

from snakemake.exceptions import WorkflowError

from scripts.lib.code import stamps
from scripts.lib.config import ConfigError, check_config
from scripts.lib.spec import canonical, digest

# Jobs run the Python that runs Snakemake, whatever else is on the path.
os.environ["PATH"] = os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"]

# Each study's rule file adds its own entries:
# {study: {run file: digest of the job that makes it}}
RUNS = {}
# {study: columns that name a unit, the replicate last}
AXES = {}
# {study: data file, training script and plan of the measurement}
MEASURED = {}

try:
    check_config(config, "workflow/schemas/config.schema.yaml")
except ConfigError as error:
    raise WorkflowError(str(error)) from None

# For values that are no file of a rule; in paths write <results>.
RESULTS = config["pathvars"]["results"]


wildcard_constraints:
    study="[a-z_]+",
    arm="[a-z0-9_]+",
    block="[a-z0-9-]+",
