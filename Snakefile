"""isospeed: four studies of small experiments, from cached stages, with the proof beside the speed."""

from snakemake.utils import min_version

min_version("9.27")


configfile: "config/config.yaml"
configfile: "config/engression.yaml"


include: "workflow/rules/common.smk"


if "engression" in config["studies"]:

    include: "workflow/rules/engression.smk"


include: "workflow/rules/spine.smk"


rule all:
    """Everything: studies, agreement, measurement, report."""
    default_target: True
    input:
        "<results>/report.html",


rule science:
    """The studies' results without measurement and report."""
    input:
        expand(
            "<results>/{study}/{table}.csv",
            study=config["studies"],
            table=["summary", "agreement"],
        ),
