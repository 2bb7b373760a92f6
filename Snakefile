"""isospeed: studies of many small experiments, fast, with the proof beside the speed."""

from snakemake.utils import min_version

min_version("9.27")


configfile: "config/config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/engression.smk"
include: "workflow/rules/lora_ablation.smk"
include: "workflow/rules/deep_gpcm.smk"
include: "workflow/rules/tep_bp.smk"
include: "workflow/rules/spine.smk"


rule all:
    """Everything: studies, agreement, measurement, claims, report."""
    default_target: True
    input:
        "<results>/report.html",


rule science:
    """The studies' tables, without measurement and report."""
    input:
        expand("<results>/{study}/{table}.csv", study=STUDIES, table=["summary", "agreement"]),
