"""isospeed: studies of many small experiments, fast, with the proof beside the speed."""

from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version

from scripts.lib.faults import ConfigError
from scripts.lib.root import ours
from scripts.lib.yaml_files import check_files
from scripts.spine.cluster import spare_the_timers
from scripts.spine.forkserver import start
from scripts.spine.last_words import at_exit, heed_stops
from scripts.spine.terminal import speak

min_version("9.27")

speak(workflow)

try:
    check_files(sorted(Path(ours("config")).glob("*.yaml")) + list(workflow.overwrite_configfiles))
except ConfigError as error:
    raise WorkflowError(str(error)) from None


configfile: ours("config/config.yaml")


include: "workflow/rules/common.smk"
include: "workflow/rules/two_stage.smk"
include: "workflow/rules/lora_ablation.smk"
include: "workflow/rules/deep_gpcm.smk"
include: "workflow/rules/tep_bp.smk"
include: "workflow/rules/spine.smk"


rule all:
    """Everything: studies, agreement, measurement, claims, report, and all they are made from."""
    default_target: True
    input:
        lambda w: KEYS.upstream([f"{RESULTS}/report.html"]),


rule science:
    """The studies' tables, without measurement and report, and all they are made from."""
    input:
        lambda w: KEYS.upstream(
            expand(
                f"{RESULTS}/{{study}}/{{table}}.csv", study=STUDIES, table=["summary", "agreement"]
            )
        ),


onstart:
    spare_the_timers(workflow.scheduler)
    heed_stops(workflow)
    start(workflow)


onsuccess:
    at_exit(workflow, failed=False)


onerror:
    at_exit(workflow, failed=True)


include: "workflow/rules/keys.smk"
